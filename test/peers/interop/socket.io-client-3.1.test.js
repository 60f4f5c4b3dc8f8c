import { clients } from "./clients.js";
import { runSuite } from "./suite.js";

runSuite(clients["3.1"]);
