/** What zlib's functions throw where there would be more output than was allowed; the other decoders throw the same. */
export function outputTooLarge(limit: number): Error {
  return Object.assign(new RangeError(`more than ${limit} bytes`), { code: tooLargeCode });
}

export const tooLargeCode = "ERR_BUFFER_TOO_LARGE";
