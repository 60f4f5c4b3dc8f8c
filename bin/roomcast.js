#!/usr/bin/env node
/** The command `roomcast`, see docs/cli.md. */
const { runCli } = require("../dist/public/cli.js");

void runCli(process.argv.slice(2), (url) => import(url));
