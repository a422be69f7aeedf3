/** Row G4, the long way: minutes of a bad network on either side. Prints its figures. SOAK_SCALE=0.1 makes it a tenth as long. */
import { badNetworkRow } from "../runtimes/bad-network.ts";

badNetworkRow(300_000 * Number(process.env.SOAK_SCALE ?? 1));
