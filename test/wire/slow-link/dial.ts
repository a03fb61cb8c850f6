import { MqttTransport } from '../../../src/wire/mqtt/index.ts';
import { Routes } from '../../../src/wire/http/routes.ts';

/** Connects to the URL of its argument, and prints how that ended. */
const url = process.argv[2] ?? '';

async function dial(): Promise<string> {
  if (url.startsWith('mqtt:')) {
    const transport = new MqttTransport({ url, version: 4 });
    await transport.connect({ clientId: 'slow', keepaliveSeconds: 60, onMessage: () => undefined });
    return 'connected';
  }
  const route = await new Routes({ bufferBytes: 1024 }).to(new URL(url));
  return await new Promise((resolve, reject) => {
    route
      .send({})
      .once('response', () => resolve('connected'))
      .once('error', reject)
      .end();
  });
}

process.stdout.write('dialling\n');
dial().then(
  (end) => {
    process.stdout.write(`${end}\n`);
    process.exit(0);
  },
  (error: unknown) => {
    process.stdout.write(`${String(error)}\n`);
    process.exit(1);
  },
);
