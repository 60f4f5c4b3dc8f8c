import { clients } from "./clients.js";
import { runSuite } from "./suite.js";

runSuite(clients["2.5"]);
