// SOURCE and TARGET as two films in step. TARGET has the sound and the time; SOURCE follows it.

const FAR_S = 0.25; // the films are further apart: jump; nearer: run faster or slower
const NEAR_S = 0.02; // they are in step

const filmOf = { frame: byId("film-frame"), slide: byId("film-slide") };

const canPlay = { frame: null, slide: null }; // null: it is not known yet

// Load both films, if there are any, and call `onKnown` once it is known of one whether it can be
// played: when it shows its first picture. Chromium may go on showing that after a seek that came before.
function loadFilms(onKnown) {
  for (const [kind, url] of [["frame", film.films.source], ["slide", film.films.target]]) {
    const video = filmOf[kind];
    const know = (works) => {
      canPlay[kind] = works;
      onKnown();
    };
    video.onloadeddata = () => know(video.videoWidth > 0);
    video.onerror = () => know(false);
    const wanted = film.films.source && film.films.target && url;
    if (video.getAttribute("src") === (wanted || null)) continue;
    canPlay[kind] = null;
    if (wanted) video.src = url;
    else video.removeAttribute("src");
  }
  onKnown();
}

// Why thumbnails are shown in place of films; empty if both can be played, null if it is not known yet.
function whyNoFilms() {
  if (!film.films.source) return "SOURCE is a folder";
  if (!film.films.target) return film.target_is_film ? "TARGET is not finished" : "TARGET is a folder";
  if (canPlay.frame === false) return "this browser cannot play SOURCE";
  if (canPlay.slide === false) return "this browser cannot play TARGET";
  return canPlay.frame && canPlay.slide ? "" : null;
}

// Show a slide and its frame, in the middle of the time in which they are shown.
function seekFilms(slide) {
  const frame = slide * film.frames_per_slide;
  filmOf.slide.currentTime = (slide + 0.5) / rate;
  filmOf.frame.currentTime = (frame + 0.5) / film.rate;
}

// Resolves once both films play.
function startFilms() {
  filmOf.frame.currentTime = filmOf.slide.currentTime;
  return Promise.all([filmOf.slide.play(), filmOf.frame.play()]);
}

function stopFilms() {
  for (const video of Object.values(filmOf)) {
    video.pause();
    video.playbackRate = 1;
  }
}

// Keep SOURCE in step. Return the slide that TARGET shows, slideCount at its end.
function followFilms() {
  const { frame: follower, slide: leader } = filmOf;
  const behind = leader.currentTime - follower.currentTime;
  if (Math.abs(behind) > FAR_S && !follower.seeking && !follower.ended) {
    follower.currentTime = leader.currentTime;
  }
  follower.playbackRate = Math.abs(behind) < NEAR_S ? 1 : 1 + Math.max(-0.2, Math.min(0.2, behind));
  return leader.ended ? slideCount : Math.min(slideCount, Math.floor(leader.currentTime * rate + 1e-3));
}
