// Loaded first: from here on, who asks for `socket.io-adapter` gets `roomcast/adapter`, as an npm alias would have it.
const Module = require("node:module");
const { resolve } = require("node:path");

const resolveFilename = Module._resolveFilename;
const ours = resolve(__dirname, "../../dist/public/adapter.js");
Module._resolveFilename = function (request, ...rest) {
  return request === "socket.io-adapter" ? ours : resolveFilename.call(this, request, ...rest);
};
