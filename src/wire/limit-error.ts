/** Limit error: why a call was turned away where a limit did it. For logs and metrics; the caller gets a status. */
export class LimitError extends Error {
  override readonly name = "LimitError";
  /** What metrics call the limit: "requests", "rate_limit". */
  readonly limit: string;

  constructor(limit: string, message: string) {
    super(message);
    this.limit = limit;
  }
}
