import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../qemu/free-port.ts';
import type { BrokerUnderTest } from './broker-under-test.ts';
import { startServer, takesClients, type ServerProcess } from './server-process.ts';

const program = '/usr/sbin/nats-server';
export const hasNats = existsSync(program);

/** NATS servers with JetStream, of Debian's package `nats-server`; more than one are a cluster. */
export async function natsServers(count: number): Promise<BrokerUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'wherry-nats-'));
  const ports = await Promise.all(
    Array.from({ length: count }, async () => ({
      nats: await freePort(),
      mqtt: await freePort(),
      route: await freePort(),
    })),
  );
  const routes = ports.map(({ route }) => `"nats://127.0.0.1:${route}"`).join(', ');
  const configs = await Promise.all(
    ports.map(async ({ nats, mqtt, route }, index) => {
      const config = join(directory, `n${index}.conf`);
      const lines = [
        `server_name: n${index}`,
        `listen: "127.0.0.1:${nats}"`,
        `jetstream { store_dir: "${join(directory, `n${index}`)}" }`,
        `mqtt { listen: "127.0.0.1:${mqtt}" }`,
        ...(count > 1 ? [`cluster { name: wherry, listen: "127.0.0.1:${route}", routes: [${routes}] }`] : []),
      ];
      await writeFile(config, lines.join('\n'));
      return config;
    }),
  );
  const urls = ports.map(({ mqtt }) => `mqtt://127.0.0.1:${mqtt}`);
  const servers = new Map<number, ServerProcess>();
  return {
    urls,
    async start() {
      const started = urls.map((url, node) => {
        const server = servers.get(node) ?? startServer(program, ['-c', configs[node] ?? '']);
        servers.set(node, server);
        return takesClients(url, server);
      });
      await Promise.all(started);
    },
    async kill(node) {
      await servers.get(node)?.kill();
      servers.delete(node);
    },
    async end() {
      await Promise.all([...servers.values()].map((server) => server.kill()));
      await rm(directory, { recursive: true });
    },
  };
}
