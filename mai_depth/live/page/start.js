"use strict";

/* Offers the sources that the page has: its server's camera, this device's own, or both. */

function offerHere(here) {
  ownCamera.here = here;
  get("here").hidden = false;
  if (!navigator.mediaDevices) {
    get("camera").disabled = true;
    get("secure").hidden = isSecureContext;
  }
}

get("camera").addEventListener("click", () => {
  if (!ownCamera.stream) { ownCamera.startCamera(); return; }
  ownCamera.stop();
  say("The camera is off.");
});

get("picture").addEventListener("change", () => {
  const [file] = get("picture").files;
  if (file) ownCamera.showPicture(file);
  get("picture").value = "";  // so that the same one can be chosen again
});

get("server").addEventListener("click", () => {
  ownCamera.stop();
  watchServer();
});

function watchServer() {
  source = connection;
  get("server").setAttribute("aria-pressed", true);
  head = undefined;
  freeze(false);
  say("Connecting…");
  connection.close();
  connection.open();
}

async function start() {
  let sources;
  try {
    sources = await (await fetch("page.json")).json();
  } catch {
    say(location.protocol === "file:" ? "Open this page through a web server: python -m http.server"
      : "The page is incomplete, or its server is gone; reload it.");
    return;
  }
  if (sources.here) offerHere(sources.here);
  get("server").hidden = !sources.server;
  if (sources.server) watchServer();
  else say("Start the camera, or choose a picture.");
}

start();
