/**
 * The public entries ("doors") of the package, read from `exports` in package.json: the files for `require`, for `import`, and their types.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const dist = fileURLToPath(new URL("../dist", import.meta.url));
export const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** One item per subpath that has code; paths are relative to the root and start with `./`. */
export const doors = Object.entries(manifest.exports)
  .filter(([, target]) => typeof target === "object")
  .map(([subpath, target]) => ({
    subpath,
    specifier: subpath === "." ? manifest.name : `${manifest.name}${subpath.slice(1)}`,
    cjs: target.require.default,
    cjsTypes: target.require.types,
    esm: target.import.default,
    esmTypes: target.import.types,
  }));
