#!/usr/bin/env node
import { main } from './main.ts';
import { outputWritten, processTerminal, statusWithOutput } from './terminal.ts';

// Exits even if a library still holds something open.
const terminal = processTerminal();
void main(process.argv.slice(2), process.env, terminal).then(async (status) => {
  await outputWritten(terminal);
  process.exit(statusWithOutput(status));
});
