/*
 * The entry `roomcast/testing`: servers and clients in memory, waiting for events, and suites for writers of adapters, links, transports and parsers.
 */
export { createTestServer, type ConnectOptions, type TestNetwork, type TestServer, type TestServerSettings } from "../testing/test-server";
export { createTestCluster, type TestCluster, type TestClusterSettings } from "../testing/test-cluster";
export { MemoryBus } from "../testing/memory-bus";
export { expectEvent, expectNoEvent, type Emitter, type ExpectOptions } from "../testing/expect";
export { testAdapter, type AdapterSuite } from "../testing/adapter-suite";
export { testLink, type LinkSuite } from "../testing/link-suite";
export { testParser, type ParserSuite } from "../testing/parser-suite";
export { testTransport, type TransportSuite } from "../testing/transport-suite";
export type { TestFunction } from "../testing/suite";
