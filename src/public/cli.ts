/*
 * What `bin/roomcast.js` runs. No entry of the package.
 */
export { runCli } from "../cli/cli";
