#!/bin/bash
# What one would guess: SQLite in a file survives `kill -9` of a process that was writing. The next process rolls back what was
# not committed and continues, since the kernel drops the locks of a dead process.
#
# What node-sqlite3-wasm 0.8.60 does: its lock is a directory `NAME.lock` beside the file, which nobody removes for a process
# that was killed. Every later process gets "database is locked", for reads as well, until somebody removes the directory.
# libsql 0.5.29, which has the same kind of interface and SQLite's own locks, continues at once.
#
# Needs: bash, npm, Node 20 on x86-64 or ARM. No root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" node-sqlite3-wasm@0.8.60 libsql@0.5.29 >/dev/null
cat >run.mjs <<'JS'
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';

const open = {
  'node-sqlite3-wasm': async (name) => new (await import('node-sqlite3-wasm')).default.Database(name),
  libsql: async (name) => new (await import('libsql')).default(name),
};
const [, , kind] = process.argv;
if (kind !== undefined) {
  const database = await open[kind](`${kind}.db`);
  database.exec('CREATE TABLE wave (name TEXT)');
  database.exec('BEGIN IMMEDIATE');
  database.exec("INSERT INTO wave VALUES ('canary')");
  console.log('in a transaction');
  setInterval(() => database, 1000);
} else {
  for (const [kind, expected] of [['node-sqlite3-wasm', 'database is locked'], ['libsql', 'works']]) {
    const writer = spawn(process.execPath, ['run.mjs', kind], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(writer.stdout, 'data');
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    const database = await open[kind](`${kind}.db`);
    const said = ['SELECT name FROM wave', "INSERT INTO wave VALUES ('all')"].map((statement) => {
      try {
        database.exec(statement);
        return 'works';
      } catch (error) {
        return error.message;
      }
    });
    console.log(`${kind}: files ${readdirSync('.').filter((name) => name.startsWith(`${kind}.db`)).join(' ')}`);
    console.log(`${kind}: read: ${said[0]}; write: ${said[1]}`);
    assert.deepEqual(said, [expected, expected]);
  }
}
JS
timeout 60 node run.mjs
echo 'as found: node-sqlite3-wasm 0.8.60'
