/* This build takes the class for `any`: only the declarations ask for it, see `src/server/compat/foreign-adapter.ts`. */
declare module "socket.io-adapter" {
  export type Adapter = any;
}
