/** Names within a package: which are taken, and how a type is written so that it can't be taken for another. */
import type { DescFile, DescMessage } from "@bufbuild/protobuf";

/** The names of a package that no generated message or service may have. */
export class Names {
  readonly #taken = new Set<string>();

  /** @param files those that have a part of the package */
  constructor(files: Iterable<DescFile>) {
    for (const file of files) {
      for (const { name } of [...file.messages, ...file.services, ...file.extensions]) this.#taken.add(name);
      for (const type of file.enums) {
        this.#taken.add(type.name);
        for (const { name } of type.values) this.#taken.add(name); // they are beside their enum, as in C++
      }
    }
  }

  /** Takes all of these names, or none where one is taken already. */
  take(...names: string[]): boolean {
    if (names.some((name) => this.#taken.has(name))) return false;
    for (const name of names) this.#taken.add(name);
    return true;
  }
}

/** Every package, every part of one that ends before a dot, and every message and enum: what a name may be taken for. */
export function symbolsOf(files: Iterable<DescFile>): Set<string> {
  const symbols = new Set<string>();
  for (const { proto, messages, enums } of files) {
    const parts = proto.package.split(".");
    for (let end = 1; end <= parts.length; end++) symbols.add(parts.slice(0, end).join("."));
    for (const { typeName } of [...messages, ...enums]) symbols.add(typeName);
  }
  return symbols;
}

/** How types are written in the files of one package. */
export class TypeNames {
  readonly #package: string;
  readonly #symbols: ReadonlySet<string>;

  constructor(ofPackage: string, symbols: ReadonlySet<string>) {
    this.#package = ofPackage;
    this.#symbols = symbols;
  }

  /** "GetVersionResponse" within its own package, else "google.protobuf.Empty"; ".google..." where another `google` is nearer. */
  write({ typeName, file }: DescMessage): string {
    if (file.proto.package === this.#package && this.#package !== "") return typeName.slice(this.#package.length + 1);
    return this.qualify(typeName);
  }

  /** Writes a full name. */
  qualify(name: string): string {
    const first = name.split(".", 1)[0]!;
    const scope = this.#package.split(".");
    for (let end = scope.length; end > 0; end--) {
      if (this.#symbols.has(`${scope.slice(0, end).join(".")}.${first}`)) return `.${name}`;
    }
    return name;
  }
}
