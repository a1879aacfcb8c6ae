"use strict";

// Shows the document that the page names. It sends nothing to anyone: no
// validator badge, and calls go to where the page came from.
window.addEventListener("load", () => {
  const docs = document.getElementById("docs");
  SwaggerUIBundle({
    domNode: docs,
    url: docs.dataset.spec,
    validatorUrl: null,
    deepLinking: true,
    displayRequestDuration: true,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
});
