import * as w from "./src/weights/index.ts";
import {readFileSync,writeFileSync} from "node:fs";
const [,, file, seed0, n]=process.argv;
let s=Number(seed0)*2654435761>>>0; const rnd=(k)=>{ s^=s<<13; s>>>=0; s^=s>>>17; s^=s<<5; s>>>=0; return s%k; };
const bytes=new Uint8Array(readFileSync(file));
const head=Math.min(bytes.length, bytes.length);
let worst=0, ok=0, bad={}, maxrss=0; const t00=performance.now();
for(let i=0;i<Number(n);i++){ const d=bytes.slice(); const ch=[]; for(let k=rnd(3);k>=0;k--){const at=rnd(head); const to=rnd(3)===0?255:rnd(2)?d[at]^(1<<rnd(8)):rnd(256); d[at]=to; ch.push([at,to]);}
 writeFileSync("/tmp/w/h/fz_last_"+process.pid, JSON.stringify([file,ch]));
 const t=performance.now();
 try{ await w.readCheckpoint(d,{name:"x",skipUnsupported:true}); ok++; }catch(e){ if(e.name!=="DataError") {console.log("OTHER",e.name,e.message.slice(0,300),JSON.stringify(ch));} else {const k=e.message.slice(0,110); bad[k]=(bad[k]||0)+1; if(/\n/.test(e.message)) console.log("NEWLINE")} }
 const dt=performance.now()-t; const rss=process.memoryUsage().rss/1e6; if(rss>maxrss){maxrss=rss}; if(dt>worst){worst=dt; console.log("worst",dt.toFixed(0),"rss",rss.toFixed(0),JSON.stringify(ch));}
}
console.log(file,"ok",ok,"worst",worst,"maxrss",maxrss, "per",(performance.now()-t00)/n); console.log(Object.entries(bad).sort((a,b)=>b[1]-a[1]).slice(0,25).map(([k,v])=>v+" "+k).join("\n"));
