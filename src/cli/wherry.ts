#!/usr/bin/env node
import { main } from './main.ts';
import { processTerminal, statusWithOutput } from './terminal.ts';

// Ends here, whatever a library still holds open: everything was said, and output to files, pipes
// and terminals is written at once.
void main(process.argv.slice(2), process.env, processTerminal()).then((status) =>
  process.exit(statusWithOutput(status)),
);
