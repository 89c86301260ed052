import type { ClusterHost } from "../../cluster/cluster.ts";
import { peerUrl } from "./topology.ts";

/** What somebody else's etcd says, asked from this machine. */
export interface GivenEtcd {
  endpoints: {
    url: string;
    /** `3.5.24` */
    version?: string;
    healthy: boolean;
    /** Why it is not healthy, or did not answer. */
    problem?: string;
  }[];
  /** Keys of API servers; undefined when no endpoint answered. */
  keys?: number;
}

/** A member as etcd itself lists it. */
export interface ListedMember {
  /** Hexadecimal. */
  id: string;
  /** Absent while it has never started. */
  name?: string;
  peerUrls: string[];
  /** It gets the data, and does not count yet. */
  learner: boolean;
}

/** What an external etcd said before anything was planned. */
export interface EtcdFound {
  /** The host whose member was asked; absent when no member stands. */
  by?: string;
  members: ListedMember[];
  /** How many keys API servers have left in it; undefined when it was not asked. */
  keys?: number;
  /** Why a member that stands gave no answer. */
  unanswered?: string;
  /** Milliseconds that a synchronised write takes on hosts that are not members yet: the mean, and the slowest group. */
  sync: Record<string, { mean: number; slowest: number }>;
  /** Somebody else's etcd. */
  given?: GivenEtcd;
}

/** The entry of a host in etcd's own list. */
export const listed = (members: ListedMember[], host: ClusterHost): ListedMember | undefined =>
  members.find(({ name, peerUrls }) => name === host.name || peerUrls.includes(peerUrl(host)));
