// drive.mjs BASE FOLDER: a real Chromium, driven by JSON lines on standard input, answering JSON lines on standard output.
// {"do": "open", "person", "width", "scheme"} makes a browser context of its own; every other step names one of `steps`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [base, folder] = process.argv.slice(2);
const web = new URL("../../../admin/web/", import.meta.url);
const require = createRequire(new URL("package.json", web));
const { chromium } = require("playwright-core");
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", web), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const pages = new Map();
const strict = process.env.SALLYPORT_TRUSTED === "1"; // the browser's profile knows the gateway's certificate authority
const devices = new Map(); // of a person: {cdp, id} of a virtual security key
const wrong = []; // errors of the page, policy violations, requests to elsewhere

const steps = {
  async open({ person, width = 1280, scheme = "light" }) {
    const context = await browser.newContext({ ignoreHTTPSErrors: !strict, viewport: { width, height: 800 }, colorScheme: scheme, acceptDownloads: true });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
    page.on("console", (message) => message.type() === "error" && !/status of 4\d\d|^WebSocket connection to/.test(message.text()) && wrong.push(`console: ${message.text()}`));
    page.on("request", (request) => new URL(request.url()).origin !== base && !request.url().startsWith("blob:") && wrong.push(`elsewhere: ${request.url()}`));
    pages.set(person, page);
    await page.goto(base);
  },
  async sign_in({ page, token }) {
    await page.getByLabel("Your token").fill(token);
    await page.keyboard.press("Enter");
  },
  async visit({ page, path }) {
    await page.evaluate((to) => {
      history.pushState(null, "", to);
      dispatchEvent(new PopStateEvent("popstate"));
    }, path);
  },
  /** Milliseconds from the click to the first painted page with its data. */
  async timed_visit({ page, path }) {
    await steps.visit({ page, path: "/tokens" });
    await page.getByText("Same from a terminal").first().waitFor();
    return page.evaluate(async (to) => {
      const begin = performance.now();
      history.pushState(null, "", to);
      dispatchEvent(new PopStateEvent("popstate"));
      const frame = () => new Promise((done) => requestAnimationFrame(() => done(undefined)));
      await frame();
      // Done is: the page's own heading, and nothing that is still fetched.
      for (let quiet = 0; quiet < 2; ) {
        const busy = document.querySelector("h1") === null || (document.querySelector("table tbody tr, .empty, .checks li, .facts") === null);
        quiet = busy ? 0 : quiet + 1;
        await frame();
      }
      return performance.now() - begin;
    }, path);
  },
  async see({ page, text, timeout = 15_000 }) {
    await page.getByText(text).locator("visible=true").first().waitFor({ timeout });
  },
  async text({ page }) {
    return page.locator("body").innerText();
  },
  async address({ page }) {
    return page.evaluate(() => location.pathname + location.search);
  },
  async press({ page, role = "button", name, exact = false }) {
    await page.getByRole(role, { name, exact }).first().click();
  },
  async key({ page, key }) {
    await page.keyboard.press(key);
  },
  async focused({ page }) {
    return page.evaluate(() => document.activeElement?.textContent?.trim() ?? "");
  },
  async fill({ page, label, value }) {
    await page.getByLabel(label).first().fill(value);
  },
  async choose({ page, label, value }) {
    await page.getByLabel(label).first().selectOption(value);
  },
  async files({ page, label, paths }) {
    await page.getByLabel(label).setInputFiles(paths);
  },
  async save({ page, name }) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).first().click()]);
    return readFileSync(await download.path(), "utf8");
  },
  async save_bytes({ page, name }) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).first().click()]);
    return readFileSync(await download.path()).toString("base64");
  },
  async screen({ page }) {
    return page.locator(".xterm-rows").innerText();
  },
  // A terminal that is scrolled out of sight draws nothing until it is seen again.
  async on_screen({ page, text, timeout = 15_000 }) {
    await page.locator(".xterm-rows").scrollIntoViewIfNeeded({ timeout });
    await page.locator(".xterm-rows").getByText(text).first().waitFor({ timeout });
  },
  async type({ page, text }) {
    await page.locator(".xterm-helper-textarea").focus();
    for (const [index, line] of text.split("\n").entries()) {
      if (index > 0) await page.keyboard.press("Enter");
      if (line) await page.keyboard.insertText(line);
    }
  },
  async size({ page, width, height }) {
    await page.setViewportSize({ width, height });
  },
  async slide({ page, label, value }) {
    await page.getByLabel(label).fill(String(value));
  },
  async click({ page, role, name }) {
    await page.getByRole(role, { name }).first().click();
  },
  async shot({ page, name }) {
    await page.screenshot({ path: `${folder}/${name}.png` });
  },
  async shot_of({ page, selector, name }) {
    await page.locator(selector).first().screenshot({ path: `${folder}/${name}.png` });
  },
  async click_text({ page, text }) {
    await page.getByText(text).first().click();
  },
  async contents({ page, selector }) {
    return page.locator(selector).allTextContents();
  },
  async goto({ page, url }) {
    await page.goto(url);
  },
  async href({ page }) {
    return page.evaluate(() => location.href);
  },
  async axe({ page }) {
    // The check itself needs to run a script, which the page's own policy forbids to everybody: Playwright evaluates outside of it.
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
    return found.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
  },
  async overflows({ page }) {
    return page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  },
  /** A security key in this browser; `verifies`: it can check who holds it, and does. */
  async plug_in({ page, person, verifies = true }) {
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "usb", hasResidentKey: true, hasUserVerification: verifies, isUserVerified: verifies, automaticPresenceSimulation: true };
    const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options });
    devices.set(person, { cdp, id: authenticatorId });
  },
  async counters({ person }) {
    const { cdp, id } = devices.get(person);
    return (await cdp.send("WebAuthn.getCredentials", { authenticatorId: id })).credentials.map((each) => each.signCount);
  },
  /** As a copy that was made earlier counts. */
  async count_back({ person, to }) {
    const { cdp, id } = devices.get(person);
    for (const credential of (await cdp.send("WebAuthn.getCredentials", { authenticatorId: id })).credentials) {
      await cdp.send("WebAuthn.removeCredential", { authenticatorId: id, credentialId: credential.credentialId });
      await cdp.send("WebAuthn.addCredential", { authenticatorId: id, credential: { ...credential, signCount: to } });
    }
  },
  async reload({ page }) {
    await page.reload();
  },
  async timing({ page }) {
    return page.evaluate(() => performance.getEntriesByType("resource").filter((each) => each.name.includes("/v1/")).map((each) => each.duration));
  },
  async wrong() {
    return wrong.splice(0);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: step, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await steps[step]({ ...rest, page: pages.get(rest.person) })) ?? null };
  } catch (error) {
    const page = pages.get(rest.person);
    const shown = page ? await page.evaluate(() => document.body.innerText.slice(0, 3000)).catch((reason) => String(reason)) : "";
    answer = { failed: `${step} ${JSON.stringify(rest)}: ${error.message}\nThe page ${page?.url() ?? ""} shows:\n${shown}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
