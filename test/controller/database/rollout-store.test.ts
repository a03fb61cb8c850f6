import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openRolloutStore, type RolloutStore } from '../../../src/controller/database/index.ts';
import { openPostgres } from '../../../src/controller/database/postgres.ts';
import { openSqlite } from '../../../src/controller/database/sqlite.ts';
import { hasPostgres, postgresServer, type PostgresServer } from '../../support/postgres.ts';
import { rolloutOf } from '../rollout/model.ts';

const directory = mkdtempSync(join(tmpdir(), 'wherry-store-'));
afterAll(() => rmSync(directory, { recursive: true }));

let postgres: PostgresServer | undefined;
beforeAll(async () => {
  if (!hasPostgres) return;
  postgres = postgresServer();
  await postgres.start();
});
afterAll(() => postgres?.remove());

const opened: RolloutStore[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

let count = 0;
const sqliteFile = () => join(directory, `${(count += 1)}.db`);
const commandsOf = (rollout: ReturnType<typeof rolloutOf>) =>
  new Map(
    rollout.members.map(({ device }) => [
      device,
      { command: Buffer.from(`run ${device}`), undo: Buffer.from(`undo ${device}`) },
    ]),
  );
const unavailable = (words: RegExp) =>
  expect.objectContaining({
    code: 'database-unavailable',
    message: expect.stringMatching(words) as string,
  }) as Error;

describe.each([
  ['SQLite', true, () => sqliteFile()],
  ['PostgreSQL', hasPostgres, () => postgres?.url ?? ''],
])('the rollouts of a fleet in %s', (_name, isThere, newAddress) => {
  /** A store of a fleet of its own. */
  const open = async (address: string, fleet: string) => {
    const store = await openRolloutStore(address, fleet, { isNew: true });
    opened.push(store);
    return store;
  };
  const fleetName = () => `fleet-${(count += 1)}`;

  it.skipIf(!isThere)('can be read back, with every answer', async () => {
    const store = await open(newAddress(), fleetName());
    const rollout = rolloutOf(5, [{ count: 2 }], { reason: 'a test' });
    await store.create(rollout, commandsOf(rollout));
    const { rollout: loaded, revision } = await store.load('r-1');
    expect({ ...loaded, fleet: rollout.fleet }).toEqual(rollout);
    const devices = rollout.members.slice(0, 2).map(({ device }) => device);
    const [first = '', second = ''] = devices;
    const sent = await store.markSent('r-1', revision, devices, { undo: false, atMs: 1_800_000_000_123 });
    expect(Buffer.from(sent?.get(first)?.envelope ?? []).toString()).toBe(`run ${first}`);
    const failed = { phase: 'refused', code: 'no-space', message: 'the disk is full', atMs: 7 } as const;
    await store.saveAnswers('r-1', [
      { device: first, undo: false, answer: { phase: 'committed', atMs: 5 } },
      { device: second, undo: false, answer: failed },
      { device: second, undo: true, answer: { phase: 'committed', atMs: 9 } },
    ]);
    // The first answer stays.
    await store.saveAnswers('r-1', [{ device: first, undo: false, answer: failed }]);
    const again = await store.load('r-1');
    expect(again.rollout.members[0]).toMatchObject({
      sentAtMs: 1_800_000_000_123,
      answer: { phase: 'committed', atMs: 5 },
    });
    expect(again.rollout.members[1]).toMatchObject({ answer: failed, undoAnswer: { phase: 'committed' } });
    expect(again.rollout.members[2]).toEqual(rollout.members[2]);
    expect(await store.list()).toMatchObject([{ id: 'r-1', devices: 5, sent: 2, committed: 1, failed: 1 }]);
    const undo = await store.commands('r-1', [second], true);
    expect(Buffer.from(undo.get(second)?.envelope ?? []).toString()).toBe(`undo ${second}`);
  });

  it.skipIf(!isThere)('change only for callers with their current revision', async () => {
    const address = newAddress();
    const fleet = fleetName();
    const [one, two] = [await open(address, fleet), await open(address, fleet)];
    const rollout = rolloutOf(5, []);
    await one.create(rollout, commandsOf(rollout));
    const { revision } = await two.load('r-1');
    expect(await one.decide('r-1', revision, { phase: 'paused', reason: 'lunch' })).toBe(true);
    expect(await two.decide('r-1', revision, { phase: 'undoing' })).toBe(false);
    expect(await two.markSent('r-1', revision, ['crane-1'], { undo: false, atMs: 1 })).toBeUndefined();
    const { rollout: now } = await two.load('r-1');
    expect(now).toMatchObject({ phase: 'paused', reason: 'lunch' });
    expect(now.members.every(({ sentAtMs }) => sentAtMs === undefined)).toBe(true);
    const rules = { ...rollout.rules, soakSeconds: 77 };
    expect(await two.decide('r-1', await two.revision('r-1'), { rules })).toBe(true);
    expect((await one.load('r-1')).rollout).toMatchObject({ phase: 'paused', rules });
    // The time at which a command was first sent stays.
    for (const atMs of [5, 6])
      await one.markSent('r-1', await one.revision('r-1'), ['crane-1'], { undo: false, atMs });
    const members = new Map((await two.load('r-1')).rollout.members.map((one) => [one.device, one]));
    expect(members.get('crane-1')?.sentAtMs).toBe(5);
    // Of many at once, one.
    const next = await two.revision('r-1');
    const made = await Promise.all(
      [one, two, one, two].map((store) => store.decide('r-1', next, { approvedWaves: 1 })),
    );
    expect(made.filter(Boolean)).toHaveLength(1);
  });

  it.skipIf(!isThere)('take signatures for all commands or for none [C252]', async () => {
    const store = await open(newAddress(), fleetName());
    const rollout = rolloutOf(3, [], { phase: 'signing' });
    await store.create(rollout, commandsOf(rollout));
    const { revision } = await store.load('r-1');
    const texts = async () =>
      [...(await store.allCommands('r-1'))]
        .map(([device, { command, undo }]) =>
          [device, command, ...(undo === undefined ? [] : [undo])].map((part) =>
            Buffer.from(part).toString(),
          ),
        )
        .sort();
    const before = ['crane-0', 'crane-1', 'crane-2'].map((device) => [
      device,
      `run ${device}`,
      `undo ${device}`,
    ]);
    expect(await texts()).toEqual(before);
    const signed = new Map(before.map(([device = '']) => [device, { command: Buffer.from('signed') }]));
    expect(await store.replaceCommands('r-1', revision - 1, signed, 'running')).toBe(false);
    expect(await texts()).toEqual(before);
    expect(await store.replaceCommands('r-1', revision, signed, 'running')).toBe(true);
    expect((await store.load('r-1')).rollout.phase).toBe('running');
    expect(await texts()).toEqual(before.map(([device]) => [device, 'signed']));
  });

  it.skipIf(!isThere)('keep a device in one rollout at a time', async () => {
    const store = await open(newAddress(), fleetName());
    const first = rolloutOf(3, []);
    await store.create(first, commandsOf(first));
    const second = rolloutOf(1, [], { id: 'r-2' });
    await expect(store.create(second, commandsOf(second))).rejects.toThrow(
      /crane-0 is in the rollout r-1, which is running/,
    );
    await expect(store.create(first, commandsOf(first))).rejects.toThrow(/there is a rollout r-1 already/);
    await store.decide('r-1', await store.revision('r-1'), { phase: 'halted' });
    await store.create(second, commandsOf(second));
    expect((await store.list()).map(({ id }) => id).sort()).toEqual(['r-1', 'r-2']);
  });

  it.skipIf(!isThere)('are opened again only while no other one has their devices [C359]', async () => {
    const store = await open(newAddress(), fleetName());
    const revision = (id: string) => store.revision(id);
    const [first, second] = [rolloutOf(3, []), rolloutOf(2, [], { id: 'r-2' })];
    await store.create(first, commandsOf(first));
    await store.markSent('r-1', await revision('r-1'), ['crane-2'], { undo: false, atMs: 1 });
    await store.decide('r-1', await revision('r-1'), { phase: 'halted' });
    await store.create(second, commandsOf(second));
    const resumed = store.decide('r-1', await revision('r-1'), { phase: 'running' });
    await expect(resumed).rejects.toThrow(/crane-\d is in the rollout r-2, which is running; halt that one/);
    expect((await store.load('r-1')).rollout.phase).toBe('halted');
    // An undo commands only devices that were touched, and r-2 does not have this one.
    expect(await store.decide('r-1', await revision('r-1'), { phase: 'undoing' })).toBe(true);
    await store.decide('r-1', await revision('r-1'), { phase: 'halted' });
    await store.markSent('r-1', await revision('r-1'), ['crane-0'], { undo: false, atMs: 1 });
    await expect(store.decide('r-1', await revision('r-1'), { phase: 'undoing' })).rejects.toThrow(/crane-0/);
    await store.decide('r-2', await revision('r-2'), { phase: 'halted' });
    expect(await store.decide('r-1', await revision('r-1'), { phase: 'running' })).toBe(true);
  });

  it.skipIf(!isThere)('are not visible to other fleets', async () => {
    const address = newAddress();
    const store = await open(address, fleetName());
    const rollout = rolloutOf(1, []);
    await store.create(rollout, commandsOf(rollout));
    const other = await open(address, fleetName());
    await expect(other.load('r-1')).rejects.toThrow(expect.objectContaining({ code: 'not-found' }) as Error);
    expect(await other.list()).toEqual([]);
    const same = rolloutOf(2, []);
    await other.create(same, commandsOf(same));
    expect(await store.list()).toMatchObject([{ id: 'r-1', devices: 1 }]);
    expect(await other.list()).toMatchObject([{ id: 'r-1', devices: 2 }]);
  });

  it.skipIf(!isThere)('have commands with values of secrets beside those without [C256]', async () => {
    const store = await open(newAddress(), fleetName());
    const rollout = rolloutOf(2, []);
    const sealed = { command: Buffer.from('run'), sealed: Buffer.from('encrypted') };
    await store.create(rollout, commandsOf(rollout).set('crane-0', { ...sealed, undo: Buffer.from('undo') }));
    const texts = async (undo: boolean) => {
      const stored = await store.commands('r-1', ['crane-0', 'crane-1'], undo);
      return [...stored.values()].map((one) =>
        [one.envelope, one.sealed ?? []].map((bytes) => Buffer.from(bytes).toString()),
      );
    };
    expect(await texts(false)).toEqual([
      ['run', 'encrypted'],
      ['run crane-1', ''],
    ]);
    expect(await texts(true)).toEqual([
      ['undo', ''],
      ['undo crane-1', ''],
    ]);
    const countersigned = new Map([['crane-1', { command: Buffer.from('2'), sealed: Buffer.from('both') }]]);
    await store.replaceCommands('r-1', await store.revision('r-1'), countersigned, 'running');
    expect((await texts(false))[1]).toEqual(['2', 'both']);
  });

  it.skipIf(!isThere)('of an older wherry are carried out by this one', async () => {
    const address = newAddress();
    const fleet = fleetName();
    const store = await open(address, fleet);
    const rollout = rolloutOf(1, []);
    await store.create(rollout, commandsOf(rollout));
    const sql = address.startsWith('postgres')
      ? await openPostgres(address)
      : await openSqlite(address, false);
    await sql.transaction(async (query) => {
      await query('ALTER TABLE wherry_members DROP COLUMN sealed');
      await query('UPDATE wherry_schema SET version = 1');
    });
    await sql.close();
    for (let time = 0; time < 2; time++) {
      const later = await open(address, fleet);
      const stored = await later.commands('r-1', ['crane-0'], false);
      expect(stored.get('crane-0')).toEqual({ envelope: expect.anything() as Uint8Array });
    }
  });

  it.skipIf(!isThere)('are left alone by an older wherry', async () => {
    const address = newAddress();
    await open(address, fleetName());
    const sql = address.startsWith('postgres')
      ? await openPostgres(address)
      : await openSqlite(address, false);
    const setSchema = (version: number) =>
      sql.transaction((query) => query('UPDATE wherry_schema SET version = ?', [version]));
    await setSchema(3);
    await expect(openRolloutStore(address, 'f', { isNew: false })).rejects.toThrow(
      unavailable(/is of a later version of wherry \(schema 3; this one knows 2\); upgrade wherry/),
    );
    await setSchema(2);
    await sql.close();
    opened.push(await openRolloutStore(address, 'f', { isNew: false }));
  });

  it.skipIf(!isThere)('are left alone once a later wherry has migrated them [C356]', async () => {
    const address = newAddress();
    const store = await open(address, fleetName());
    const rollout = rolloutOf(2, []);
    await store.create(rollout, commandsOf(rollout));
    const device = rollout.members[0]?.device ?? '';
    const sql = address.startsWith('postgres')
      ? await openPostgres(address)
      : await openSqlite(address, false);
    await sql.transaction((query) => query('UPDATE wherry_schema SET version = 3'));
    const later = unavailable(/is of a later version of wherry \(schema 3; this one knows 2\)/);
    const answer = { phase: 'committed', atMs: 5 } as const;
    const other = rolloutOf(1, [], { id: 'r-2' });
    for (const write of [
      () => store.create(other, commandsOf(other)),
      () => store.decide('r-1', 1, { phase: 'halted' }),
      () => store.markSent('r-1', 1, [device], { undo: false, atMs: 1 }),
      () => store.saveAnswers('r-1', [{ device, undo: false, answer }]),
      () => store.replaceCommands('r-1', 1, commandsOf(rollout), 'running'),
      () => store.load('r-1'),
    ])
      await expect(write()).rejects.toThrow(later);
    await sql.transaction((query) => query('UPDATE wherry_schema SET version = 2'));
    await sql.close();
    expect(await store.load('r-1')).toEqual({
      rollout: { ...rollout, fleet: expect.anything() as string },
      revision: 1,
    });
    expect(await store.list()).toHaveLength(1);
  });
});

describe('a SQLite file', () => {
  const newStore = async (path: string, id = 'r-1') => {
    const store = await openRolloutStore(path, 'harbour', { isNew: true });
    opened.push(store);
    const rollout = rolloutOf(20, [], { id });
    await store.create(rollout, commandsOf(rollout));
    return store;
  };

  it('that is missing is reported, and found again', async () => {
    const path = sqliteFile();
    const store = await newStore(path);
    copyFileSync(path, `${path}.kept`);
    rmSync(path);
    await expect(store.load('r-1')).rejects.toThrow(unavailable(/\.db is not there; restore the file/));
    await expect(openRolloutStore(path, 'harbour', { isNew: false })).rejects.toThrow(
      unavailable(/is not there/),
    );
    writeFileSync(path, '');
    await expect(store.load('r-1')).rejects.toThrow(unavailable(/was replaced/));
  });

  it('[C281] is whole in a copy once no command uses it', async () => {
    const path = sqliteFile();
    await (await newStore(path)).close();
    opened.pop();
    const looked = await openRolloutStore(path, 'harbour', { isNew: false });
    await looked.decide('r-1', 1, { phase: 'halted' });
    await looked.close();
    copyFileSync(path, `${path}.copy`);
    const copy = await openRolloutStore(`${path}.copy`, 'harbour', { isNew: false });
    opened.push(copy);
    expect(await copy.list()).toMatchObject([{ id: 'r-1', phase: 'halted' }]);
  });

  it('[C281] that was emptied is missed, and is made anew by a rollout', async () => {
    const path = sqliteFile();
    writeFileSync(path, '');
    await expect(openRolloutStore(path, 'harbour', { isNew: false })).rejects.toThrow(
      unavailable(/\.db is empty; restore the file/),
    );
    expect(await (await newStore(path)).list()).toHaveLength(1);
  });

  it('that is not a database is reported as such', async () => {
    const path = sqliteFile();
    writeFileSync(
      path,
      'a text that is longer than the header of a database has to be, and no database. '.repeat(9),
    );
    await expect(openRolloutStore(path, 'harbour', { isNew: true })).rejects.toThrow(
      unavailable(/is not a SQLite database/),
    );
    const nowhere = join(directory, 'no/such/place.db');
    await expect(openRolloutStore(nowhere, 'harbour', { isNew: true })).rejects.toThrow(
      unavailable(/cannot be opened/),
    );
  });

  const canMount = process.getuid?.() === 0 && tryMount();
  it.skipIf(!canMount)('on a full disk changes nothing, and continues when there is space', async () => {
    const disk = join(directory, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'none', disk]);
    try {
      const store = await newStore(join(disk, 'rollouts.db'));
      await store.decide('r-1', 1, { phase: 'halted' });
      const fill = () => writeFileSync(join(disk, 'ballast'), Buffer.alloc(1 << 20));
      expect(fill).toThrow(/ENOSPC/);
      const big = rolloutOf(400, [], { id: 'r-2' });
      await expect(store.create(big, commandsOf(big))).rejects.toThrow(
        unavailable(/is on a disk that is full/),
      );
      rmSync(join(disk, 'ballast'));
      expect((await store.list()).map(({ id }) => id)).toEqual(['r-1']);
      await store.decide('r-1', await store.revision('r-1'), { phase: 'complete' });
      expect((await store.load('r-1')).rollout.phase).toBe('complete');
      await store.close();
      opened.pop();
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });
});

describe('a PostgreSQL server', () => {
  it.skipIf(!hasPostgres)('that crashed is used again when it is back', async () => {
    if (postgres === undefined) throw new Error('no server');
    const store = await openRolloutStore(postgres.url, 'crashes', { isNew: true });
    opened.push(store);
    const rollout = rolloutOf(2, []);
    await store.create(rollout, commandsOf(rollout));
    await postgres.kill();
    const words = /^the database localhost\/postgres cannot be used/;
    await expect(store.load('r-1')).rejects.toThrow(unavailable(words));
    await postgres.start();
    expect((await store.load('r-1')).rollout.members).toHaveLength(2);
  });
});

describe('a PostgreSQL server in the middle of a transaction', () => {
  const shortMs = { connect: 2000, lock: 300, answer: 1000, idle: 30_000 };

  it.skipIf(!hasPostgres)('[C361] that is killed is reported, and used again when it is back', async () => {
    if (postgres === undefined) throw new Error('no server');
    const server = postgres;
    const sql = await openPostgres(server.url);
    await sql.transaction((query) => query('CREATE TABLE marks (device TEXT)'));
    // Between two statements nobody awaits an answer of the connection.
    const lost = sql.transaction(async (query) => {
      await query("INSERT INTO marks VALUES ('crane-7')");
      await server.crash();
      await query('SELECT 1');
    });
    await expect(lost).rejects.toThrow(unavailable(/^the database localhost\/postgres cannot be used/));
    await server.start();
    expect((await sql.transaction((query) => query('SELECT * FROM marks'))).rows).toEqual([]);
    await sql.close();
  });

  it.skipIf(!hasPostgres)('[C361] that gives no answer is reported, and used again', async () => {
    if (postgres === undefined) throw new Error('no server');
    const sql = await openPostgres(postgres.url, shortMs);
    await sql.transaction((query) => query('SELECT 1'));
    postgres.freeze();
    try {
      await expect(sql.transaction((query) => query('SELECT 1'))).rejects.toThrow(
        unavailable(/gave no answer in time$/),
      );
    } finally {
      postgres.thaw();
    }
    expect((await sql.transaction((query) => query('SELECT 1'))).rows).toHaveLength(1);
    await sql.close();
  });

  it.skipIf(!hasPostgres)('[C362] that another controller holds is reported', async () => {
    if (postgres === undefined) throw new Error('no server');
    const [holder, waiting] = [
      await openPostgres(postgres.url, shortMs),
      await openPostgres(postgres.url, shortMs),
    ];
    await holder.transaction(async () => {
      await expect(waiting.transaction((query) => query('SELECT 1'))).rejects.toThrow(
        unavailable(/is held by another process; end it, or wait until it is done$/),
      );
    });
    expect((await waiting.transaction((query) => query('SELECT 1'))).rows).toHaveLength(1);
    await holder.close();
    await waiting.close();
  });

  it.skipIf(!hasPostgres)('[C362] does not wait for a controller that is stopped', async () => {
    if (postgres === undefined) throw new Error('no server');
    const stopped = await openPostgres(postgres.url, { ...shortMs, idle: 200 });
    const waiting = await openPostgres(postgres.url, { ...shortMs, lock: 20_000, answer: 30_000 });
    const held = stopped.transaction(async (query) => {
      expect((await waiting.transaction((other) => other('SELECT 1'))).rows).toHaveLength(1);
      await query('SELECT 1');
    });
    await expect(held).rejects.toThrow(unavailable(/cannot be used/));
    await stopped.close();
    await waiting.close();
  });
});

describe('a PostgreSQL database', () => {
  it.skipIf(!hasPostgres)('serves an account that may make no tables', async () => {
    if (postgres === undefined) throw new Error('no server');
    await (await openRolloutStore(postgres.url, 'plain', { isNew: true })).close();
    const sql = await openPostgres(postgres.url);
    await sql.transaction(async (query) => {
      await query('CREATE ROLE plain LOGIN');
      await query('GRANT SELECT, INSERT, UPDATE ON wherry_schema, wherry_rollouts, wherry_members TO plain');
    });
    await sql.close();
    const plain = postgres.url.replace('wherry@', 'plain@');
    const store = await openRolloutStore(plain, 'plain', { isNew: false });
    opened.push(store);
    const rollout = rolloutOf(1, []);
    await store.create(rollout, commandsOf(rollout));
    expect(await store.list()).toHaveLength(1);
  });

  it.skipIf(!hasPostgres)('whose tables are gone is reported, and used when they are back', async () => {
    if (postgres === undefined) throw new Error('no server');
    const store = await openRolloutStore(postgres.url, 'gone', { isNew: true });
    opened.push(store);
    const sql = await openPostgres(postgres.url);
    const rename = (from: string, to: string) =>
      sql.transaction((query) => query(`ALTER TABLE ${from} RENAME TO ${to}`));
    await rename('wherry_schema', 'elsewhere');
    await expect(store.list()).rejects.toThrow(unavailable(/has no tables of rollouts; restore them/));
    await rename('elsewhere', 'wherry_schema');
    await sql.close();
    expect(await store.list()).toEqual([]);
  });
});

/** Root in a container may not mount. */
function tryMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'wherry-probe-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(probe, { recursive: true });
  }
}
