// A limit on work that is under way in functions of the application.

/** Milliseconds after which work that has not answered gives its place up: a function that never answers must not lock out everybody. */
const LONGEST_MS = 60_000;

/** One piece of work under way. */
export interface Place {
  readonly takenAt: number;
}

/** So many pieces of work may be under way at a time. */
export class Places {
  readonly limit: number;
  private readonly taken: Set<Place>;

  /** @param limit  `Infinity` for none: nothing is counted then */
  constructor(limit: number) {
    this.limit = limit;
    this.taken = new Set();
  }

  /** How many are taken. */
  get count(): number {
    return this.taken.size;
  }

  /** Takes a place; null when none is free. */
  take(): Place | null {
    const now = performance.now();
    const place = { takenAt: now };
    if (this.limit === Infinity) return place;
    if (this.taken.size >= this.limit) {
      const [oldest] = this.taken;
      if (oldest === undefined || now - oldest.takenAt < LONGEST_MS) return null;
      this.taken.delete(oldest);
    }
    this.taken.add(place);
    return place;
  }

  /** Gives a place back; a second call changes nothing. */
  release(place: Place): void {
    this.taken.delete(place);
  }
}
