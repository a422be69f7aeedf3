/** A bad network for some seconds; minutes of it are in test/soak. */
import { badNetworkRow } from "./bad-network.ts";

badNetworkRow(10_000);
