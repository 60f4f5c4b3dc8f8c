// Medians, and a histogram of durations that can be sent between processes.

export function median(list) {
  const sorted = list.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}
const short = (value) => Number(value.toPrecision(5));
export const summary = (list) => ({ median: median(list), min: Math.min(...list), max: Math.max(...list), rounds: list.map(short) });

/**
 * The ratio of `base` to `own`, two summaries: the median of the ratios of turns in the same round, because the machine's speed changes
 * from one minute to the next. Undefined if one of them is missing.
 */
export function ratioOf(base, own) {
  if (base === undefined || own === undefined || !(base.median > 0) || !(own.median > 0)) return undefined;
  const { rounds } = own;
  if (rounds === undefined || rounds.length !== base.rounds?.length) return base.median / own.median;
  return median(rounds.map((value, round) => base.rounds[round] / value));
}

const PER_OCTAVE = 32;

/** Counts durations in buckets with a width of 2 %. */
export class Histogram {
  constructor(counts = new Array(PER_OCTAVE * 32).fill(0)) {
    this.counts = counts;
  }

  add(microseconds) {
    this.counts[microseconds <= 1 ? 0 : Math.floor(Math.log2(microseconds) * PER_OCTAVE)]++;
  }

  merge(counts) {
    for (let i = 0; i < counts.length; i++) this.counts[i] += counts[i];
  }

  get total() {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** @returns the quantile `fraction` in microseconds; `null` without durations */
  quantile(fraction) {
    const total = this.total;
    if (total === 0) return null;
    let seen = 0;
    for (let i = 0; i < this.counts.length; i++) {
      seen += this.counts[i];
      if (seen >= total * fraction) return 2 ** ((i + 0.5) / PER_OCTAVE);
    }
    return null;
  }
}
