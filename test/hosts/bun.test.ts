/** The proxy in hosts on Bun. */
import { testHostsOn } from "./suite.ts";

testHostsOn("bun");
