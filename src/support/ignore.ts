// A function that does nothing.
/** For callbacks and rejections that need no reaction. */
export function ignore(): void {}
