// The sysadmin's first five minutes in Swagger UI, as its introduction tells
// them: authorize, register a site, send its heartbeat, lock it, send another.
//
//     node browser.mjs URL PASSWORD-FILE DIRECTORY/FOR/SCREENSHOTS
//
// tests/e2e/browser starts it, and the server before it. Prints what it saw; exit code 1 on any miss.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, passwordFile, screenshots] = process.argv.slice(2);
const PATIENCE_MS = 30_000;
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const REASON = 'Payment overdue since March';
const PASSWORD = 'for the browser test';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let misses = 0;
/** The operations that were tried. */
const pressed = new Set();
/** What the console may complain of: answers that are to be refusals. */
const expected = [];

function check(good, what, saw = '') {
  if (!good) misses += 1;
  console.log(`${good ? 'ok  ' : 'MISS'} ${what}${saw === '' ? '' : `  [${saw}]`}`);
}

/** One operation of the page, by its id in the specification. */
class Operation {
  constructor(page, tag, id) {
    this.page = page;
    pressed.add(id);
    this.block = page.locator(`#operations-${tag}-${id}`);
  }

  async open() {
    await this.block.locator('.opblock-summary-control').click();
    await this.block.getByRole('button', { name: 'Try it out' }).click();
  }

  /** Folds it up: the page is drawn again at each answer, with all that is open. */
  async close() {
    await this.block.locator('.opblock-summary-control').click();
  }

  async fill(parameter, value) {
    await this.block.locator(`tr[data-param-name="${parameter}"] input`).fill(value);
  }

  async fillBody(document) {
    await this.block.locator('textarea.body-param__text').fill(JSON.stringify(document));
  }

  /** Presses Execute, and reads the answer as the page shows it. */
  async execute() {
    const method = (await this.block.locator('.opblock-summary-method').innerText()).trim();
    const answered = this.page.waitForResponse((answer) => answer.request().method() === method);
    await this.block.getByRole('button', { name: 'Execute' }).click();
    const answer = await answered;
    const live = this.block.locator('.live-responses-table');
    // What an earlier call left there goes when the new answer is drawn.
    await live.getByText(answer.headers()['x-request-id']).first().waitFor();
    const status = (await live.locator('tbody .response-col_status').first().innerText()).trim();
    const kind = answer.headers()['content-type'] ?? '';
    if (!kind.includes('json')) return { status: Number.parseInt(status, 10), live };
    const shown = await live.locator('.response-col_description pre.microlight, .response-col_description code')
      .first().innerText();
    return { status: Number.parseInt(status, 10), live, shown, body: JSON.parse(shown) };
  }

  async screenshot(name) {
    await this.block.screenshot({ path: join(screenshots, `${name}.png`) });
  }
}

async function fiveMinutes(page, url, password) {
  await page.goto(`${url}/docs`);
  await page.locator('.opblock').first().waitFor();
  const tags = await page.locator('.opblock-tag').evaluateAll((all) => all.map((tag) => tag.dataset.tag));
  check(tags[0] === 'Login' && tags[1] === 'Sites' && tags[2] === 'Heartbeat', 'groups in the order of the work',
    tags.join(', '));
  const listed = await page.locator('.opblock').count();
  const specification = await page.evaluate(async () => (await fetch('/openapi.json')).json());
  const known = Object.values(specification.paths).flatMap((path) => Object.keys(path)).length;
  check(listed === known, 'every operation of the specification is on the page', `${listed} of ${known}`);
  await page.screenshot({ path: join(screenshots, '1-docs.png'), fullPage: true });

  await page.locator('.auth-wrapper .authorize').click();
  const dialog = page.locator('.dialog-ux .modal-ux');
  const form = dialog.locator('.auth-container').filter({ hasText: 'OAuth2' });
  await form.locator('#oauth_username').fill('sysadmin');
  await form.locator('#oauth_password').fill(password);
  await page.screenshot({ path: join(screenshots, '2-authorize.png') });
  const login = page.waitForResponse((answer) => new URL(answer.url()).pathname === '/api/auth/login');
  await form.locator('#oauth_password').press('Enter');
  check((await login).status() === 200, 'name, password and Enter in the Authorize dialog', `${(await login).status()}`);
  await form.getByText('Logout', { exact: true }).waitFor();
  await page.screenshot({ path: join(screenshots, '3-authorized.png') });
  await dialog.getByRole('button', { name: 'Close' }).last().click();

  // The examples are sent as they stand, except for the ids.
  const register = new Operation(page, 'Sites', 'register_site');
  await register.open();
  await register.screenshot('4-register-form');
  const registered = await register.execute();
  const { site_id: siteId, secret_key: key } = registered.body;
  check(registered.status === 201 && UUID.test(siteId) && /^swk_[\w-]{43}$/.test(key),
    'register a site by its example and read its key', `${registered.status}, key of ${key?.length} characters`);
  await register.screenshot('5-registered');

  const heartbeat = new Operation(page, 'Heartbeat', 'heartbeat');
  await heartbeat.open();
  await heartbeat.fill('X-Site-ID', siteId);
  await heartbeat.fill('X-Site-Key', key);
  const first = await heartbeat.execute();
  check(first.status === 200 && Object.keys(first.body).join() === 'licensed,locked,lock_reason,expires_at',
    'its heartbeat is answered with the 4 fields', first.shown.replace(/\s+/g, ' '));
  check(first.body.licensed === true && first.body.locked === false && first.body.lock_reason === null,
    'licensed and not locked');
  await heartbeat.screenshot('6-heartbeat');

  const lock = new Operation(page, 'Sites', 'lock_site');
  await lock.open();
  await lock.fill('site_id', siteId);
  await refusedAsItStands(lock, 'reason');
  await lock.fillBody({ reason: REASON });
  const locked = await lock.execute();
  check(locked.status === 200 && locked.body.status === 'locked', 'lock it with a reason', locked.body.status);
  await lock.screenshot('7-lock');

  const second = await heartbeat.execute();
  check(second.status === 200 && second.body.locked === true && second.body.lock_reason === REASON,
    'the next heartbeat says that it is locked, and why', second.body.lock_reason);
  await heartbeat.screenshot('8-heartbeat-locked');
  for (const operation of [register, heartbeat, lock]) await operation.close();

  await everyExample(page, siteId, password);
  const operations = Object.values(specification.paths).flatMap((path) => Object.values(path));
  const left = operations.map((operation) => operation.operationId).filter((id) => !pressed.has(id));
  check(left.length === 0, 'every operation was tried', left.join(', '));
}

/** An example that would do harm is a placeholder, which the server refuses. */
async function refusedAsItStands(operation, field) {
  expected.push('the server responded with a status of 422');
  const { status, body } = await operation.execute();
  const named = body.errors?.map((error) => `${error.field} ${error.message}`).join();
  check(status === 422 && named?.startsWith(`${field} is the placeholder`), 'its example is refused as it stands', named);
}

/** Presses Execute on what is left, each with its example, in an order that works. */
async function everyExample(page, siteId, password) {
  const login = new Operation(page, 'Login', 'login');
  await login.open();
  await login.fillBody({ username: 'sysadmin', password });
  check((await login.execute()).status === 200, 'login, by its example but for the password');
  await login.close();

  const plan = [
    ['Login', 'me', {}, 200], ['Sites', 'list_sites', {}, 200], ['Sites', 'get_site', { site_id: siteId }, 200],
    ['Sites', 'update_site', { site_id: siteId }, 200], ['Sites', 'unlock_site', { site_id: siteId }, 200],
    ['Sites', 'rotate_key', { site_id: siteId }, 200], ['Admins', 'list_admins', {}, 200],
    ['Sites', 'batch_sites', {}, 200], ['Sites', 'bulk_sites', {}, 200], ['Admins', 'create_admin', {}, 201, { username: 'night-shift', password: PASSWORD }],
    ['Admins', 'change_password', {}, 204, { password: `${PASSWORD}, another` }],
    ['Admins', 'get_admin', { username: 'night-shift' }, 200], ['Admins', 'end_sessions', { username: 'night-shift' }, 204],
    ['Admins', 'delete_admin', {}, 204], ['Audit', 'list_audit', {}, 200], ['Audit', 'audit_head', {}, 200],
    ['Audit', 'verify_audit', {}, 200], ['Leases', 'list_lease_keys', {}, 200], ['Leases', 'rotate_lease_key', {}, 200],
    ['Sites', 'watch_site', { site_id: siteId }, 200], ['Sites', 'site_history', { site_id: siteId }, 200],
    ['Sites', 'statistics', {}, 200],
    ['Tokens', 'create_token', {}, 201], ['Tokens', 'list_tokens', {}, 200], ['Tokens', 'end_token', {}, 204],
    ['Certificate', 'tls_status', {}, 200], ['Health', 'health', {}, 200],
    ['Sites', 'delete_site', { site_id: siteId }, 204],
  ];
  for (const [tag, id, parameters, want, body] of plan) {
    const operation = new Operation(page, tag, id);
    await operation.open();
    for (const [name, value] of Object.entries(parameters)) await operation.fill(name, value);
    if (body) {
      await refusedAsItStands(operation, 'password');
      await operation.fillBody(body);
    }
    const { status } = await operation.execute();
    check(status === want, `${id}, ${body ? 'with a password' : 'by its example'}`, `${status}`);
    if (['update_site', 'list_audit'].includes(id)) await operation.screenshot(`9-${id}`);
    await operation.close();
  }

  const backup = new Operation(page, 'Backup', 'get_backup');
  await backup.open();
  const { status, live } = await backup.execute();
  const download = page.waitForEvent('download');
  await live.getByRole('link', { name: 'Download file' }).click();
  const file = await readFile(await (await download).path());
  check(status === 200 && file.subarray(0, 4).toString() === 'redb', 'get_backup, and save the file',
    `${status}, ${file.length} bytes`);
  await backup.screenshot('9-get_backup');

  // What an admin does with a device, which a browser has not: the walk of the
  // command line does that (second factor); here what is answered without one.
  for (const [tag, id, parameters, want] of [
    ['Admins', 'begin_otp', { username: 'sysadmin' }, 200], ['Admins', 'confirm_otp', { username: 'sysadmin' }, 422],
    ['Admins', 'remove_otp', { username: 'sysadmin' }, 204], ['Login', 'step_up', {}, 409],
    ['Admins', 'end_session', { username: 'sysadmin', id: '0000000000000000' }, 404],
  ]) {
    const operation = new Operation(page, tag, id);
    await operation.open();
    for (const [name, value] of Object.entries(parameters)) await operation.fill(name, value);
    if (want >= 400) expected.push(`the server responded with a status of ${want}`);
    const { status } = await operation.execute();
    check(status === want, `${id}, without a device`, `${status}`);
    await operation.close();
  }

  // A self-signed certificate is not renewed by hand, and says so.
  const renew = new Operation(page, 'Certificate', 'tls_renew');
  await renew.open();
  expected.push('the server responded with a status of 409');
  const refused = await renew.execute();
  check(refused.status === 409 && refused.body.detail.includes('self-signed'), 'tls_renew says why not',
    refused.body.detail);

  // The last one: it ends all logins, this one too.
  const rotate = new Operation(page, 'Login', 'rotate_signing_key');
  await rotate.open();
  const rotated = await rotate.execute();
  check(rotated.status === 204, 'rotate_signing_key', `${rotated.status}`);
  await rotate.close();

  // Whose login has ended has none to end.
  const logout = new Operation(page, 'Login', 'logout');
  await logout.open();
  expected.push('the server responded with a status of 401');
  const ended = await logout.execute();
  check(ended.status === 401, 'logout, after all logins ended', `${ended.status}`);
}

let browser;
try {
  const password = (await readFile(passwordFile, 'utf8')).trim();
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS, timeout: PATIENCE_MS });
  console.log(`Chromium ${browser.version()} at ${url}`);
  // The certificate is the server's own, and nobody vouches for it; that the
  // clients verify it is for tests/e2e/clients.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 1000 } });
  context.setDefaultTimeout(PATIENCE_MS);
  const requests = [];
  const complaints = [];
  context.on('request', (request) => requests.push(request.url()));
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`page: ${error.message}`));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));
  try {
    await fiveMinutes(page, url, password);
  } catch (error) {
    await page.screenshot({ path: join(screenshots, 'miss.png'), fullPage: true });
    throw error;
  }
  const own = [`${url}/`, 'data:', `blob:${url}/`];
  const foreign = requests.filter((request) => !own.some((start) => request.startsWith(start)));
  for (const complaint of expected) {
    const place = complaints.findIndex((known) => known.includes(complaint));
    if (place >= 0) complaints.splice(place, 1);
  }
  check(requests.length > 10 && foreign.length === 0, 'no request leaves the origin',
    `${requests.length} requests${foreign.length ? `, elsewhere: ${foreign}` : ''}`);
  check(complaints.length === 0, 'no error and no warning in the console, none on the page', complaints.join(' | '));
} catch (error) {
  check(false, 'the walk through the page', error.message);
} finally {
  await browser?.close();
}
console.log(misses === 0 ? 'browser: all seen' : `browser: ${misses} missed`);
process.exit(misses === 0 ? 0 : 1);
