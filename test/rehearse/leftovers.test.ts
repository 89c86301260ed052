import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { clear, clearLeftovers, labelsOf } from "../../src/rehearse/leftovers.ts";
import type { Engine, Labelled } from "../../src/transport/engine.ts";

/** An engine that has these containers and networks, and says which were removed; `busy` is refused the first time. */
function having(
  containers: Labelled[],
  networks: Labelled[] = [],
  busy: string[] = [],
): { engine: Engine; removed: string[] } {
  const removed: string[] = [];
  const waiting = new Set(busy);
  const remove = async (id: string): Promise<void> => {
    if (!waiting.delete(id)) removed.push(id);
  };
  const matching = (all: Labelled[], label: string): Labelled[] => {
    const [key = "", value] = label.split("=");
    return all.filter(
      ({ id, labels }) =>
        !removed.includes(id) && (value === undefined ? labels[key] !== undefined : labels[key] === value),
    );
  };
  const engine = {
    containers: async (label: string) => matching(containers, label),
    networks: async (label: string) => matching(networks, label),
    volumes: async (label: string) =>
      matching(
        containers.map((each) => ({ ...each, id: `${each.id}.0` })),
        label,
      ),
    ...{ removeVolume: remove, remove, removeNetwork: remove },
  };
  return { engine: engine as unknown as Engine, removed };
}

const mine = (id: string, keep = false, cluster = "site"): Record<string, string> =>
  labelsOf(id, cluster, keep);
const of = (labels: Record<string, string>, owner: string): Record<string, string> => ({
  ...labels,
  "airgap.rehearsal.owner": owner,
});
/** No process has started before the machine. */
const dead = `${hostname()} ${process.pid} -1`;
const thing = (id: string, labels: Record<string, string>): Labelled => ({ id, name: id, labels });

describe("what rehearsals leave", () => {
  it("is removed once its process is gone, on this machine, and not before", async () => {
    const { engine, removed } = having(
      [
        thing("running", mine("1")),
        thing("killed", of(mine("2"), dead)),
        thing("elsewhere", of(mine("3"), "other-machine 1 -1")),
        thing("strange", { other: "label" }),
      ],
      [thing("network", of(mine("2"), dead))],
    );
    expect((await clearLeftovers(engine, "site")).count).toBe(2);
    expect(removed).toEqual(["killed", "network", "killed.0"]);
  });

  it("stays where it was kept, until the same cluster is rehearsed again", async () => {
    const all = [
      thing("kept", of(mine("1", true, "a"), dead)),
      thing("other", of(mine("2", true, "b"), dead)),
    ];
    const { engine, removed } = having(all);
    expect(await clearLeftovers(engine, "c")).toEqual({ count: 0, stuck: [] });
    expect((await clearLeftovers(engine, "a")).count).toBe(1);
    expect(removed).toEqual(["kept", "kept.0"]);
  });

  it("is removed by the rehearsal itself, and nobody else's with it", async () => {
    const { engine, removed } = having(
      [thing("own", mine("1")), thing("beside", mine("2"))],
      [thing("net", mine("1"))],
    );
    await clear(engine, "1");
    expect(removed).toEqual(["own", "net", "own.0"]);
  });

  it("is asked for again while the engine still uses it, and named in the end", async () => {
    const own = () => [thing("own", mine("1"))];
    const later = having(own(), [thing("net", mine("1"))], ["own", "net", "own.0"]);
    expect(await clear(later.engine, "1")).toEqual({ count: 2, stuck: [] });
    expect(later.removed).toEqual(["own", "net", "own.0"]);
    const never = having(own());
    const held = { ...never.engine, remove: async () => {} } as unknown as Engine;
    expect((await clear(held, "1", 300)).stuck).toContain("own");
  });
});
