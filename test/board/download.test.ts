import { readFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobName } from '../../src/device/jobs/index.ts';
import { loopbackCertificate } from '../support/loopback-certificate.ts';
import { serve, staticFile, type TestServer } from '../support/test-server.ts';
import { startTinyProxy, type TinyProxy } from '../support/tinyproxy.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, Scene } from './scene.ts';

const proxyPassword = 'pr0xy-s3cret';
const password = 's3rver-s3cret';
const basic = (user: string, secret: string) => Buffer.from(`${user}:${secret}`).toString('base64');
/** The secrets in the forms that may leak: in clear, and as they are sent. */
const secrets = [proxyPassword, password, basic('fleet', proxyPassword), basic('board', password)];
const anySecret = secrets.map((secret) => `-e ${secret}`).join(' ');

describe.each(oneBoard)('a download with credentials through a proxy on %s', (boardName) => {
  const tls = loopbackCertificate();
  let scene: Scene;
  let proxy: TinyProxy;
  let server: TestServer;
  let image: BuiltImage;
  /** Called for the image, before its second half. */
  let onHalf: () => Promise<void> = () => Promise.resolve();
  /** The proxy of this machine, by the address that the board uses. */
  let proxyAddress: string;

  const guarded: RequestListener = (request, response) => {
    if (request.headers.authorization !== `Basic ${basic('board', password)}`) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="images"' }).end();
      return;
    }
    const isSignature = request.url === '/app.aci.asc';
    void readFile(isSignature ? `${image.path}.asc` : image.path).then(async (bytes) => {
      if (isSignature) {
        staticFile(bytes)(request, response);
        return;
      }
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, bytes.length / 2));
      await onHalf();
      response.end(bytes.subarray(bytes.length / 2));
    });
  };

  const writeCredentials = async (): Promise<void> => {
    const host = new URL(server.url).host;
    const toml = `["${host}"]\nuser = "board"\npassword = "${password}"\n["http://${proxyAddress}"]\nuser = "fleet"\npassword = "${proxyPassword}"\n`;
    await scene.board.copyIn(Buffer.from(toml), '/etc/wherry/credentials.toml');
  };

  beforeAll(async () => {
    proxy = await startTinyProxy([`BasicAuth fleet ${proxyPassword}`]);
    proxyAddress = `10.0.2.2:${proxy.port}`;
    server = await serve(guarded, tls);
    scene = await Scene.start(boardName, {
      config: `[limits]\nmin_bytes_per_second = 0\n[download]\nproxy = "http://${proxyAddress}"\n`,
    });
    image = await scene.image('busybox', ['/usr/bin/busybox', 'sleep', '100000']);
    // On the board this address is the board itself, so only the proxy reaches the server.
    image = { ...image, urls: [`${server.url}/app.aci`] };
    const certificate = '/usr/local/share/ca-certificates/images.crt';
    const dropIn = '/etc/systemd/system/wherry-pull@.service.d';
    await scene.board.check(`mkdir -p ${dropIn} /usr/local/share/ca-certificates`);
    await scene.board.copyIn(Buffer.from(tls.cert), certificate);
    const text = `[Service]\nEnvironment=NODE_EXTRA_CA_CERTS=${certificate}\n`;
    await scene.board.copyIn(Buffer.from(text), `${dropIn}/ca.conf`);
    await scene.board.check(`chmod 644 ${certificate}; systemctl daemon-reload`);
  });
  afterAll(async () => {
    await scene.stop();
    await server.close();
    await proxy.stop();
  });

  const desired = () => scene.desired([{ name: 'web', image }]);

  it('is refused without a file of credentials, and the message names the file', async () => {
    expect(await scene.deploy(desired())).toMatchObject({
      outcome: 'refused',
      code: 'download-failed',
      message: expect.stringContaining(
        `through the proxy ${proxyAddress} cannot be reached: the proxy answered with status 407: it requires credentials: put user and password into /etc/wherry/credentials.toml below ["http://${proxyAddress}"]`,
      ) as string,
    });
    expect(server.requests).toEqual([]);
  });

  it('is refused while others may read that file', async () => {
    await writeCredentials();
    await scene.board.check('chmod 644 /etc/wherry/credentials.toml');
    expect(await scene.deploy(desired())).toMatchObject({
      outcome: 'refused',
      code: 'config-invalid',
      message: expect.stringContaining('chmod 600 /etc/wherry/credentials.toml') as string,
    });
  });

  it('[C73] succeeds, and only that file and the memory of the pull contain the secrets', async () => {
    await scene.board.check('chmod 600 /etc/wherry/credentials.toml');
    const unit = `wherry-pull@${jobName(image.id)}.service`;
    const credential = `/run/credentials/${unit}/credentials.toml`;
    let seen = '';
    onHalf = async () => {
      // `! grep` would hide a grep that failed to read. The unfinished object is a sparse file of
      // terabytes.
      seen = await scene.board.check(
        [
          `systemctl show ${unit} >/run/shown`,
          'grep -c ^MainPID= /run/shown',
          `cp /proc/$(systemctl show -P MainPID ${unit})/environ /run/environ`,
          `grep -ac CREDENTIALS_DIRECTORY=/run/credentials/${unit} /run/environ`,
          `ls /var/lib/wherry/partial/*/job.cbor | wc -l`,
          `grep -c ${password} ${credential}`,
          `setpriv --reuid=65534 --regid=65534 --clear-groups cat ${credential} 2>&1 | grep -c denied`,
          `grep -raFl --exclude=object.erofs ${anySecret} /run/shown /run/environ /run/wherry /var/lib/wherry /etc/systemd || echo nowhere`,
        ].join('; '),
      );
    };
    expect(await scene.deploy(desired())).toMatchObject({ outcome: 'committed' });
    expect(seen).toBe('1\n1\n1\n1\n1\nnowhere\n');
    const after = await scene.board.check(
      `journalctl --sync; journalctl -o export >/run/journal; grep -ac wherry-pull /run/journal; grep -aFc ${anySecret} /run/journal; grep -raFl ${anySecret} /var/lib/wherry /run/wherry /run/credentials || echo nowhere`,
    );
    expect(after).toMatch(/^[1-9]\d*\n0\nnowhere\n$/);
    expect(JSON.stringify([scene.events, scene.reports])).not.toMatch(new RegExp(secrets.join('|')));
    const tunnel = `CONNECT ${new URL(server.url).host} HTTP/1.1`;
    expect(new Set(proxy.requests)).toEqual(new Set([tunnel]));
  });
});
