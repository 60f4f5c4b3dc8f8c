/** Preloaded into an example: makes `require("roomcast")` give the package in TEST_TARGET. */
const Module = require("node:module");
const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  return resolve.call(this, request === "roomcast" ? process.env.TEST_TARGET : request, ...rest);
};
