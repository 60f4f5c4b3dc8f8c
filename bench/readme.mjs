// Rewrites the section of the README from bench/results: `npm run bench:readme`.
import { writeReadme } from "./lib/report.mjs";

writeReadme();
