import type { Document } from "yaml";
import type { Context } from "../context.ts";

export function rewriteImages(_documents: Document[], _context: Context): void {}
