/**
 * Builds unless dist/ is newer than the sources. npm runs it after an install in a checkout, before `npm pack`, and when the package is
 * installed from git; `npm test` runs it, too.
 */
import { build, canBuild, isFresh, say } from "./freshness.mjs";

/** Without a compiler (`npm ci --omit=dev`) the build is skipped, unless a package is made, which would have no code. */
const mayLeaveOut = !["pack", "publish"].includes(process.env.npm_command);

if (!isFresh()) {
  if (mayLeaveOut && !canBuild()) say("dist/ is not built, since the development packages are not installed");
  else if (!build()) process.exit(1);
}
