/** The entry `roomcast/dashboard`. */
import { Server } from "socket.io";
import { dashboard, type DashboardAction, type DashboardLogEntry, type DashboardOptions } from "socket.io/dashboard";

declare function expectType<T>(value: T): void;

const io = new Server<{ ask: (answer: (value: number) => void) => void }>();
const allow: readonly DashboardAction[] = ["disconnect", "send"];
const options: DashboardOptions = {
  path: "/admin/live",
  auth: { username: "ops", password: "secret" },
  loopback: false,
  allow,
  intervalMs: 500,
  log: (entry) => {
    expectType<DashboardLogEntry>(entry);
    expectType<string | null>(entry.user);
    expectType<string | undefined>(entry.room);
  },
};
const unmount: () => void = dashboard(io, options);
unmount();
dashboard(io);
dashboard(io, { auth: ({ headers, socket }) => headers.authorization === "yes" && socket.remoteAddress !== undefined });
dashboard(io, { auth: async () => Promise.resolve(true) });

// @ts-expect-error: no such action
dashboard(io, { allow: ["kill"] });
// @ts-expect-error: the password is missing
dashboard(io, { auth: { username: "ops" } });
// @ts-expect-error: no such option
dashboard(io, { password: "secret" });
// @ts-expect-error: not a server
dashboard({});
