#!/usr/bin/env node
import { main } from './main.ts';
import { processTerminal, statusWithOutput } from './terminal.ts';

// Exits even if a library still holds something open: all output was written, because writes to
// files, pipes and terminals are synchronous.
void main(process.argv.slice(2), process.env, processTerminal()).then((status) =>
  process.exit(statusWithOutput(status)),
);
