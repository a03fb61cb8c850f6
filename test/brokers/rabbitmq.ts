import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../qemu/free-port.ts';
import type { BrokerUnderTest } from './broker-under-test.ts';
import { says, startServer, takesClients, type ServerProcess } from './server-process.ts';

const libraries = '/usr/lib/rabbitmq/lib';
const home = existsSync(libraries)
  ? readdirSync(libraries)
      .map((version) => join(libraries, version))
      .find((path) => existsSync(join(path, 'sbin/rabbitmq-server')))
  : undefined;
/** Such as 3.10.8, from the name of its directory. */
export const rabbitmqRelease = home === undefined ? undefined : /-([\d.]+)$/.exec(home)?.[1];
const epmd = '/usr/lib/erlang/bin/epmd';
export const hasRabbitmq = home !== undefined && existsSync(epmd);

export interface RabbitmqNodes extends BrokerUnderTest {
  /** Where `rabbitmqctl` of this broker is, and the environment that leads it to the first node. */
  readonly control: { readonly path: string; readonly environment: NodeJS.ProcessEnv };
  rabbitmqctl(...args: string[]): Promise<string>;
}

/**
 * RabbitMQ of Debian's package `rabbitmq-server`; more than one node are a cluster. Erlang's name
 * server is one of its own, so nothing of the machine's RabbitMQ is touched.
 */
export async function rabbitmqNodes(count: number, anonymous = true): Promise<RabbitmqNodes> {
  if (home === undefined) throw new Error('RabbitMQ is not installed');
  const directory = await mkdtemp(join(tmpdir(), 'wherry-rabbitmq-'));
  await writeFile(join(directory, '.erlang.cookie'), 'wherry-test', { mode: 0o400 });
  await writeFile(join(directory, 'plugins'), '[rabbitmq_mqtt].\n');
  const namePort = await freePort();
  const names = Array.from({ length: count }, (_, index) => `wherry${index}@localhost`);
  const members = names.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`);
  const nodes = await Promise.all(
    names.map(async (name, index) => {
      const own = join(directory, `node${index}`);
      await mkdir(own);
      const mqtt = await freePort();
      const settings = [
        `listeners.tcp.1 = 127.0.0.1:${await freePort()}`,
        `mqtt.listeners.tcp.1 = 127.0.0.1:${mqtt}`,
        `mqtt.allow_anonymous = ${anonymous}`,
        ...(count > 1 ? ['cluster_formation.peer_discovery_backend = classic_config', ...members] : []),
      ];
      await writeFile(join(own, 'rabbitmq.conf'), `${settings.join('\n')}\n`);
      const environment: NodeJS.ProcessEnv = {
        PATH: `/usr/lib/erlang/bin:${process.env['PATH'] ?? ''}`,
        HOME: directory,
        LANG: 'C.UTF-8',
        ERL_EPMD_PORT: String(namePort),
        ERL_EPMD_ADDRESS: '127.0.0.1',
        RABBITMQ_NODENAME: name,
        RABBITMQ_DIST_PORT: String(await freePort()),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
        RABBITMQ_CONF_ENV_FILE: join(own, 'none'),
        RABBITMQ_CONFIG_FILE: join(own, 'rabbitmq.conf'),
        RABBITMQ_GENERATED_CONFIG_DIR: own,
        RABBITMQ_MNESIA_BASE: join(own, 'mnesia'),
        RABBITMQ_LOG_BASE: join(own, 'log'),
        RABBITMQ_PID_FILE: join(own, 'pid'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins'),
      };
      return { url: `mqtt://127.0.0.1:${mqtt}`, environment };
    }),
  );
  const control = { path: join(home, 'sbin'), environment: nodes[0]?.environment ?? {} };
  const urls = nodes.map(({ url }) => url);
  let nameServer: ServerProcess | undefined;
  const servers = new Map<number, ServerProcess>();
  let isFormed = false;
  return {
    urls,
    control,
    rabbitmqctl: async (...args) =>
      (await promisify(execFile)(join(control.path, 'rabbitmqctl'), args, { env: control.environment }))
        .stdout,
    async start() {
      nameServer ??= startServer(epmd, ['-port', String(namePort), '-address', '127.0.0.1']);
      const started: Promise<void>[] = [];
      for (const [node, { url, environment }] of nodes.entries()) {
        const server = servers.get(node) ?? startServer(join(home, 'sbin/rabbitmq-server'), [], environment);
        servers.set(node, server);
        const ready = anonymous ? takesClients(url, server) : says(server, 'completed with');
        started.push(ready);
        // docs/brokers.md: a node that joins a new cluster at the same moment as another one may
        // refuse every client. Later, the nodes wait for each other when they start.
        if (!isFormed) await ready;
      }
      await Promise.all(started);
      isFormed = true;
    },
    async kill(node) {
      await servers.get(node)?.kill();
      servers.delete(node);
    },
    async end() {
      await Promise.all([...servers.values()].map((server) => server.kill()));
      await nameServer?.kill();
      await rm(directory, { recursive: true });
    },
  };
}
