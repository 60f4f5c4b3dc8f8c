/*
 * The entry `roomcast/dashboard`: a page that shows a server and its cluster, and acts on sockets where it is allowed to.
 */
export { dashboard } from "../dashboard/dashboard";
export type { DashboardAction, DashboardCredentials, DashboardLogEntry, DashboardOptions } from "../dashboard/options";
