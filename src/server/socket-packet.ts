/** A Socket.IO packet on its way in or out. */
export interface SocketPacket {
  type: number;
  nsp?: string;
  data?: any;
  id?: number | undefined;
}
