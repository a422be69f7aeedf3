/** How late this process itself was: on a busy machine a bound in milliseconds must not blame the one under test. */

/** Starts to watch. The function returned tells the longest time, in ms, for which no timer could run; it ends the watch. */
export function watchLag(): () => number {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 2);
    last = now;
  }, 2);
  return () => {
    clearInterval(timer);
    return longest;
  };
}
