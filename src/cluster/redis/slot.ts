// Which slot of a Redis Cluster a key or a sharded channel belongs to.

const SLOTS = 16_384;

/** CRC-16 (XMODEM) of what stands in the first braces of the key, or of all of it. */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const end = open < 0 ? -1 : key.indexOf("}", open + 1);
  let crc = 0;
  for (const byte of Buffer.from(end > open + 1 ? key.slice(open + 1, end) : key)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc % SLOTS;
}
