import js from "@eslint/js";
import tseslint from "typescript-eslint";

const nodeGlobals = Object.fromEntries(
  [
    "AbortController AbortSignal Blob Buffer Event EventTarget ReadableStream TextDecoder TextEncoder TransformStream URL URLSearchParams WebSocket",
    "WritableStream clearImmediate clearInterval clearTimeout console fetch performance process queueMicrotask setImmediate setInterval setTimeout",
    "structuredClone",
  ]
    .join(" ")
    .split(" ")
    .map((name) => [name, "readonly"]),
);

const commonJsGlobals = { require: "readonly", module: "writable", exports: "writable", __dirname: "readonly", __filename: "readonly" };
const browserGlobals = Object.fromEntries(
  [
    "CSS",
    "ResizeObserver",
    "addEventListener",
    "crypto",
    "document",
    "io",
    "localStorage",
    "location",
    "navigator",
    "sessionStorage",
    "window",
  ].map((name) => [name, "readonly"]),
);

/** Sources whose public types say `any`: event maps, what users send, `next(error)`, options that take foreign classes; and the untyped owner of a deadline. */
const anyByApi = [
  "src/server/**",
  "src/cluster/**",
  "src/metrics/**",
  "src/dashboard/**",
  "src/testing/**",
  "src/engine/middleware.ts",
  "src/engine/options.ts",
  "src/support/deadline.ts",
];

export default tseslint.config(
  {
    ignores: [
      "**/node_modules/",
      "dist/",
      "client-dist/",
      "coverage/",
      "bench/results/",
      "**/artifacts/",
      "test/public-api/types/",
      "scripts/types/",
      "test/**/fixtures/",
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    files: ["src/**/*.ts"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: "./tsconfig.json", tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "separate-type-imports", disallowTypeAnnotations: false }],
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/no-non-null-assertion": "off",
      // `{}` is the event map without events; methods of prototypes are compared with and called on other objects on purpose.
      "@typescript-eslint/no-empty-object-type": ["error", { allowObjectTypes: "always" }],
      "@typescript-eslint/unbound-method": "off",
      // What users send is `any` by the API's own words (arguments, `socket.data`, `auth`); these rules would only ask for casts around it.
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      // Loaded when first needed: most programs never do, and loading is most of the time that a start takes.
      "@typescript-eslint/no-require-imports": [
        "error",
        { allow: ["^negotiator$", "^cookie$", "^cors$", "^socket.io-client$", "^\\./(start|serve|tap|load|doctor)$"] },
      ],
      "no-restricted-exports": ["error", { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } }],
    },
  },
  { files: anyByApi, rules: { "@typescript-eslint/no-explicit-any": "off" } },
  {
    files: ["**/*.js", "**/*.mjs", "**/*.cjs"],
    languageOptions: { ecmaVersion: "latest", globals: nodeGlobals },
    rules: { "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }] },
  },
  { files: ["**/*.cjs", "bin/*.js", "examples/**/*.js"], languageOptions: { sourceType: "commonjs", globals: commonJsGlobals } },
  {
    files: ["src/dashboard/page/*.js"],
    languageOptions: {
      sourceType: "module",
      globals: { ...browserGlobals, FormData: "readonly", Intl: "readonly", requestAnimationFrame: "readonly" },
    },
  },
  { files: ["examples/**/public/**/*.js"], languageOptions: { sourceType: "script", globals: browserGlobals } },
  { files: ["**/*.mjs", "test/**/*.js"], languageOptions: { sourceType: "module" } },
  {
    files: ["**/*.js", "**/*.mjs", "**/*.cjs", "**/*.ts"],
    // Payloads of the protocol are joined by U+001E.
    rules: {
      "no-control-regex": "off",
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
    },
  },
);
