import type cors from "cors";

/** The middleware that the option `cors` asks for; null without it. The package is loaded for those who ask. */
export function corsMiddleware(options: unknown): ReturnType<typeof cors> | null {
  if (!options) return null;
  const makeMiddleware = require("cors") as typeof cors;
  return makeMiddleware(options as cors.CorsOptions);
}
