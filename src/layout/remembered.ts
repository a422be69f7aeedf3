/** Bytes that are made of a backend's name, remembered: the same few names come with every call. */

/** Names that are remembered. A director may make up names, so there is a limit. */
const maxRemembered = 10_000;

/** A function of a name, called once for each. */
export function rememberedByName(make: (name: string) => Uint8Array): (name: string) => Uint8Array {
  const known = new Map<string, Uint8Array>();
  return (name) => {
    const old = known.get(name);
    if (old !== undefined) return old;
    if (known.size >= maxRemembered) known.clear();
    const made = make(name);
    known.set(name, made);
    return made;
  };
}
