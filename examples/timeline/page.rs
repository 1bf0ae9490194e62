//! The page: the picture, and beside it the story of one turn. Without JavaScript it shows the
//! whole picture and all stories.

use super::layout::Picture;
use super::svg::{self, escape};
use std::fmt::Write;

const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1b2430;--soft:#5d6b7a;--rule:#d5dce3;--run:#1769c4}
@media (prefers-color-scheme:dark){:root{--paper:#12171e;--ink:#e6ebf1;--soft:#9aa8b7;--rule:#303a45;
--run:#5aa7f5}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.5;
font:16px/1.5 system-ui,'Segoe UI',Helvetica,Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px 20px;display:grid;gap:28px;
grid-template-columns:minmax(0,720px) minmax(0,1fr)}
h1{font-size:22px;margin:0;grid-column:1/-1}
h2{font-size:18px;margin:14px 0 6px}
.scroll{overflow-x:auto}
.scroll svg{display:block;width:100%;min-width:560px}
aside{position:sticky;top:20px;align-self:start;max-height:calc(100vh - 40px);overflow:auto}
nav{display:flex;gap:8px;align-items:center}
button{font:inherit;padding:6px 14px;border:1px solid var(--rule);border-radius:6px;
background:transparent;color:inherit;cursor:pointer}
button:hover,button:focus-visible{border-color:var(--run)}
button:disabled{opacity:.4;cursor:default}
kbd{font:inherit;border:1px solid var(--rule);border-radius:4px;padding:0 6px}
ol{padding-left:30px;margin:0}
li{margin:2px 0}
table{border-collapse:collapse;width:100%;margin-top:10px}
th,td{text-align:left;padding:3px 10px 3px 0;border-top:1px solid var(--rule);font-weight:400}
th{font-weight:600;width:6em}
.hint{color:var(--soft);font-size:14px}
.turn{transition:opacity .15s;scroll-margin:12px}
.steps .turn{opacity:.12}
.steps .turn.past{opacity:.45}
.steps .turn.now{opacity:1}
.steps .turn.now .again{display:inline;font-weight:600;fill:var(--soft)}
@media (max-width:900px){main{display:block;padding:16px 14px}
h1{font-size:18px}
aside{top:auto;bottom:0;background:var(--paper);border-top:2px solid var(--rule);
max-height:42vh;padding:10px 0 8px;margin-top:12px;font-size:14px}
nav{position:sticky;top:0;background:var(--paper)}}
";

const SCRIPT: &str = "
const turns=[...document.querySelectorAll('svg .turn')];
const stories=[...document.querySelectorAll('section')];
const [first,back,next,all]=document.querySelectorAll('nav button');
let at=-1;
function show(n,moves=true){
  at=Math.max(-1,Math.min(turns.length-1,n));
  document.body.classList.toggle('steps',at>=0);
  turns.forEach((turn,i)=>{turn.classList.toggle('past',i<at);turn.classList.toggle('now',i===at);});
  stories.forEach((story,i)=>{story.hidden=i!==Math.max(at,0);});
  back.disabled=first.disabled=at<=0;next.disabled=at===turns.length-1;
  history.replaceState(null,'',at<0?'#all':'#'+at);
  if(at>=0&&moves)turns[at].scrollIntoView({block:innerWidth<900?'start':'center'});
}
document.querySelector('nav').hidden=false;
first.onclick=()=>show(0);back.onclick=()=>show(at-1);next.onclick=()=>show(at+1);
all.onclick=()=>show(-1);
addEventListener('keydown',event=>{
  const keys={ArrowRight:at+1,ArrowDown:at+1,' ':at+1,ArrowLeft:at-1,ArrowUp:at-1,Home:0,
    End:turns.length-1,Escape:-1};
  if(event.key in keys&&!(event.key===' '&&event.target.tagName==='BUTTON')){
    event.preventDefault();
    show(event.key.startsWith('Arrow')?Math.max(0,keys[event.key]):keys[event.key]);
  }
});
turns.forEach((turn,i)=>{turn.style.cursor='pointer';turn.onclick=()=>show(i,false);});
show(location.hash==='#all'?-1:Number(location.hash.slice(1))||0,location.hash!=='');
";

pub fn make(picture: &Picture) -> String {
    let mut stories = String::new();
    for turn in &picture.turns {
        let title = match turn.number {
            0 => "Before the first turn".to_string(),
            number => format!("Turn {number}"),
        };
        let _ = write!(stories, "<section>\n<h2>{title}</h2>\n<ol>\n");
        for line in &turn.story {
            let _ = writeln!(stories, "<li>{}</li>", escape(line));
        }
        stories.push_str("</ol>\n<table>\n");
        for (name, standing) in &turn.standing {
            let _ = writeln!(
                stories,
                "<tr><th>{}</th><td>{}</td></tr>",
                escape(name),
                escape(standing)
            );
        }
        stories.push_str("</table>\n</section>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>asyncfile, turn by turn</title>\n<style>{STYLE}</style>\n<main>\n\
         <h1>What each task waits for, when it runs, and what has woken it</h1>\n\
         <div class=\"scroll\">\n{}</div>\n<aside>\n\
         <nav hidden><button>First</button><button>Back</button><button>Next</button>\
         <button>All</button></nav>\n{stories}\
         <p class=\"hint\">Step with <kbd>&larr;</kbd> <kbd>&rarr;</kbd>, or click a turn. \
         <kbd>Esc</kbd> shows all.</p>\n</aside>\n</main>\n<script>{SCRIPT}</script>\n</html>\n",
        svg::draw(picture)
    )
}
