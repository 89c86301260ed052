import { AirgapError } from "../../errors.ts";
import type { Relation } from "./relation.ts";
import type { Universe } from "./universe.ts";

/** A conjunction of disjunctions of literals (or, for a DNF, the other way round); `true` and `false` are the empty ones. */
type Blocks = number[][] | boolean;

/** Some 20 times what the widest relation of Fedora comes to. */
const MAX_LITERALS = 4_000_000;

export class TooWide extends AirgapError {
  constructor() {
    super("unsupported", "A rich dependency spells out to more alternatives than airgap can work with");
  }
}

/** Joins every block of `a` with every one of `b`; blocks that hold a literal and its negation say nothing. */
function distribute(a: number[][], b: number[][], empty: boolean): Blocks {
  const product: number[][] = [];
  let literals = 0;
  for (const x of a) {
    for (const y of b) {
      literals += x.length + y.length;
      if (literals > MAX_LITERALS) throw new TooWide();
      const block = new Set([...x, ...y]);
      if ([...block].some((literal) => literal > 0 && block.has(-literal))) continue;
      product.push([...block].sort((p, q) => p - q));
    }
  }
  return product.length === 0 ? empty : product;
}

const invert = (blocks: Blocks): Blocks =>
  typeof blocks === "boolean" ? !blocks : blocks.map((block) => block.map((literal) => -literal));

/** Turns a relation into rules. The same laws as in propositional logic: `a if b` is `a or not b`, `a unless b` is `a and not b`. */
export class NormalForm {
  readonly #universe: Universe;

  constructor(universe: Universe) {
    this.#universe = universe;
  }

  /** Every block must hold one true literal for the relation to hold. @throws TooWide */
  cnf(relation: Relation): Blocks {
    return this.#normalise(relation, false);
  }

  /** The relation holds when all literals of one block are true. @throws TooWide */
  dnf(relation: Relation): Blocks {
    return this.#normalise(relation, true);
  }

  /**
   * The packages any one of which fulfils a relation that speaks of single packages; undefined
   * when it needs several, or the absence of one.
   */
  packages(relation: Relation): number[] | undefined {
    switch (relation.kind) {
      case "simple":
        return this.#universe.providers(relation);
      case "or":
      case "with":
      case "without": {
        const left = this.packages(relation.left);
        const right = this.packages(relation.right);
        if (left === undefined || right === undefined) return undefined;
        if (relation.kind === "or") return [...new Set([...left, ...right])].sort((a, b) => a - b);
        const others = new Set(right);
        return left.filter((id) => others.has(id) === (relation.kind === "with"));
      }
      default:
        return undefined;
    }
  }

  #normalise(relation: Relation, dnf: boolean): Blocks {
    const single = this.packages(relation);
    if (single !== undefined) {
      if (single.length === 0) return false;
      return dnf ? single.map((id) => [id]) : [single];
    }
    const { left } = relation as Exclude<Relation, { kind: "simple" }>;
    switch (relation.kind) {
      case "or":
        return this.#or(this.#normalise(left, dnf), this.#normalise(relation.right, dnf), dnf);
      case "and":
        return this.#and(this.#normalise(left, dnf), this.#normalise(relation.right, dnf), dnf);
      case "if": {
        const unless = this.#or(
          this.#normalise(left, dnf),
          invert(this.#normalise(relation.condition, !dnf)),
          dnf,
        );
        if (!relation.otherwise) return unless;
        return this.#and(
          unless,
          this.#or(this.#normalise(relation.condition, dnf), this.#normalise(relation.otherwise, dnf), dnf),
          dnf,
        );
      }
      case "unless": {
        const both = this.#and(
          this.#normalise(left, dnf),
          invert(this.#normalise(relation.condition, !dnf)),
          dnf,
        );
        if (!relation.otherwise) return both;
        return this.#or(
          both,
          this.#and(this.#normalise(relation.condition, dnf), this.#normalise(relation.otherwise, dnf), dnf),
          dnf,
        );
      }
      default:
        // `with` and `without` of something else than single packages: RPM does not allow it.
        return false;
    }
  }

  #or(a: Blocks, b: Blocks, dnf: boolean): Blocks {
    if (a === true || b === true) return true;
    if (a === false) return b;
    if (b === false) return a;
    return dnf ? [...a, ...b] : distribute(a, b, true);
  }

  #and(a: Blocks, b: Blocks, dnf: boolean): Blocks {
    if (a === false || b === false) return false;
    if (a === true) return b;
    if (b === true) return a;
    return dnf ? distribute(a, b, false) : [...a, ...b];
  }
}
