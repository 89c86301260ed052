import type { Event } from "../events.ts";
import type { MetadataDates } from "../lock/package-facts.ts";

/** Seconds from 2000 to 2100: what is said to be outside is not a time of day. */
const [EARLIEST, LATEST] = [946_684_800, 4_102_444_800];

/** Seconds since 1970 as a lock has them; undefined where they cannot be a time. */
export function dateOf(seconds: number): string | undefined {
  return seconds >= EARLIEST && seconds < LATEST
    ? new Date(Math.floor(seconds) * 1000).toISOString().replace(".000Z", "Z")
    : undefined;
}

/** The dates of what was opened, by name; the newest where several have one. */
export function datesOf(opened: { dated: string; date: string | undefined }[]): MetadataDates {
  const dates: MetadataDates = {};
  for (const { dated, date } of opened) {
    const known = dates[dated];
    if (date !== undefined && (known === undefined || date > known)) dates[dated] = date;
  }
  return dates;
}

/**
 * Warns of repositories that are older than at the last build: a mirror that is behind, or one that
 * somebody holds back so that updates do not arrive. apt keeps its newer list then; dnf says nothing.
 */
export function checkDates(set: string, found: MetadataDates, last: MetadataDates = {}): Event[] {
  return Object.entries(found).flatMap(([name, date]): Event[] => {
    const before = last[name];
    if (before === undefined || date >= before) return [];
    return [
      {
        type: "warning",
        message: `Repository ${name} of ${set} went back in time: its metadata are of ${date}, at the last build they were of ${before}`,
        suggestion: "name another mirror, unless this one was set back on purpose: it may hold updates back",
      },
    ];
  });
}
