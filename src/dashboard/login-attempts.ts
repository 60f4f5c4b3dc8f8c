// How often somebody may try a password.

const WINDOW_MS = 60_000;
const PER_ADDRESS = 10;
const IN_ALL = 100;

/** Counts attempts of the last minute, right ones included: 10 for each address, 100 in all. No timer, and at most 100 addresses. */
export class LoginAttempts {
  private startedAt = 0;
  private count = 0;
  private readonly byAddress = new Map<string, number>();

  /**
   * Takes one attempt.
   * @returns 0 if it may be made; else the seconds until the next one
   */
  take(address: string, now = Date.now()): number {
    if (now - this.startedAt >= WINDOW_MS || now < this.startedAt) this.restart(now);
    const ofAddress = this.byAddress.get(address) ?? 0;
    if (ofAddress >= PER_ADDRESS || this.count >= IN_ALL) return Math.ceil((this.startedAt + WINDOW_MS - now) / 1000);
    this.byAddress.set(address, ofAddress + 1);
    this.count++;
    return 0;
  }

  private restart(now: number): void {
    this.startedAt = now;
    this.count = 0;
    this.byAddress.clear();
  }
}
