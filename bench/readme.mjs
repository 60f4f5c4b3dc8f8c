// Renews the README's section from bench/results: `npm run bench:readme`.
import { writeReadme } from "./lib/report.mjs";

writeReadme();
