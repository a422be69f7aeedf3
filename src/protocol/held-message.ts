/** Held message: how much of a call a layer may keep. */

/** Most bytes of a message that has to be held whole to be written in another protocol. Default 4 MiB, as gRPC's own. */
export const maxHeldMessage = 4 << 20;
