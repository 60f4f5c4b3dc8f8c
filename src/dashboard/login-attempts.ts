// How often somebody may try a password.

const WINDOW_MS = 60_000;
const PER_ADDRESS = 10;
const IN_ALL = 100;

/** Counts attempts of the last minute, right ones included: 10 for each address, 100 in all. No timer, and at most 100 addresses. */
export class LoginAttempts {
  private startedAt = 0;
  private count = 0;
  private hasRefused = false;
  private readonly byAddress = new Map<string, number>();

  /**
   * Takes one attempt.
   * @returns `seconds`: 0 if it may be made, else until the next one; `isFirst`: whether it is the first one of this minute that may not be made
   */
  take(address: string, now = Date.now()): { seconds: number; isFirst: boolean } {
    if (now - this.startedAt >= WINDOW_MS || now < this.startedAt) this.restart(now);
    const ofAddress = this.byAddress.get(address) ?? 0;
    if (ofAddress >= PER_ADDRESS || this.count >= IN_ALL) {
      const isFirst = !this.hasRefused;
      this.hasRefused = true;
      return { seconds: Math.ceil((this.startedAt + WINDOW_MS - now) / 1000), isFirst };
    }
    this.byAddress.set(address, ofAddress + 1);
    this.count++;
    return { seconds: 0, isFirst: false };
  }

  private restart(now: number): void {
    this.startedAt = now;
    this.count = 0;
    this.hasRefused = false;
    this.byAddress.clear();
  }
}
