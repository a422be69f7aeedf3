/** The proxy in hosts on Node. */
import { testHostsOn } from "./suite.ts";

testHostsOn("node");
