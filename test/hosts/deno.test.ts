/** The proxy in hosts on Deno. */
import { testHostsOn } from "./suite.ts";

testHostsOn("deno");
